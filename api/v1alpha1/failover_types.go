package v1alpha1

// FailoverMode says whether a pair comes back to its primary.
//
// +kubebuilder:validation:Enum=Sticky;PreferPrimary
type FailoverMode string

// The modes of Failover.
const (
	// FailoverSticky stays on the leg that is on air until that one is lost in its turn.
	FailoverSticky FailoverMode = "Sticky"
	// FailoverPreferPrimary returns to the primary once it has been whole for
	// recoverySeconds.
	FailoverPreferPrimary FailoverMode = "PreferPrimary"
)

// Selection is a person's choice of the leg to play.
//
// +kubebuilder:validation:Enum=Auto;Primary;Backup
type Selection string

// The values of Failover.Select.
const (
	// SelectAuto leaves the choice to mode.
	SelectAuto Selection = "Auto"
	// SelectPrimary plays the primary whenever it is there.
	SelectPrimary Selection = "Primary"
	// SelectBackup plays the backup whenever it is there.
	SelectBackup Selection = "Backup"
)

// Failover says when to leave a leg and when to come back to it.
type Failover struct {
	// mode says whether to return to the primary once it is back.
	//
	// Sticky stays on the leg that is on air until that one is lost in its turn, so that
	// viewers see as few switches as can be. One exception: if the backup was first on
	// air only because the primary came a little later (within ten seconds), the primary
	// gets its place.
	//
	// PreferPrimary returns to the primary once it has been whole, with all its tracks,
	// for recoverySeconds. Choose it when the primary's picture is better, or the backup
	// costs money.
	// +optional
	// +kubebuilder:default=Sticky
	Mode FailoverMode `json:"mode,omitempty"`

	// select pins the pair to one leg, Primary or Backup, whatever mode says; Auto leaves
	// the choice to mode. A changed pin acts at once, at the leg's next key frame. Use it
	// to work on an encoder, and set it back to Auto afterwards.
	//
	// A pin is a preference and never takes the picture away: if the pinned leg is lost,
	// the other one is played, until the pinned one has been whole for recoverySeconds.
	// +optional
	// +kubebuilder:default=Auto
	Select Selection `json:"select,omitempty"`

	// inputLossMilliseconds is how long a connected encoder may be silent, in
	// milliseconds, before its leg counts as lost: input loss. The picture is lost when
	// none has arrived for that time, or for three frame intervals if that is longer; the
	// sound 2 seconds later. A closed connection is a loss at once, without this wait.
	//
	// While the sound is on time, the picture is lost only when none has arrived for 2
	// seconds. A slower rate is no loss: a browser that shares a still screen sends one
	// picture a second.
	//
	// Lower is faster; too low takes a hiccup of the network for a loss. 100 to 60000.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=60000
	InputLossMilliseconds int32 `json:"inputLossMilliseconds,omitempty"`

	// maxJitterMilliseconds is the longest gap, in milliseconds, of input that comes in
	// bursts, as that of a relay or of a bonded link that collects some seconds: after the
	// gap the media come late and catch up. Input comes in bursts when gaps of 2 seconds or
	// more repeat within a minute. Gaps of 0.75 seconds or more count too, if they take a
	// quarter of the time.
	//
	// A leg with regular input is then chosen over one whose input comes in bursts. Where
	// both do, playing is delayed once by the longest gap, up to this time. The leg may then
	// be silent for one and a half times its longest gap before it counts as lost. The
	// delay goes with the next switch. The leg has the warning BurstyInput meanwhile.
	//
	// Default: 5000. With 0 each gap counts as input loss. 0 to 10000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxJitterMilliseconds *int32 `json:"maxJitterMilliseconds,omitempty"`

	// recoverySeconds is how long, in seconds, a preferred leg must have had all its
	// tracks before the pair returns to it. With mode Sticky and select Auto no leg is
	// preferred, and it does nothing.
	//
	// Damping: each failover within ten minutes of the last doubles this time, up to ten
	// minutes (10, 20, 40 seconds and so on); a failover after ten quiet minutes starts
	// anew. 0 to 600.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	RecoverySeconds *int32 `json:"recoverySeconds,omitempty"`
}
