package v1alpha1

// FailoverMode says whether a pair returns to its primary.
//
// +kubebuilder:validation:Enum=Sticky;PreferPrimary;Manual
type FailoverMode string

// The modes of Failover.
const (
	// FailoverSticky stays on the leg on air until that leg is lost.
	FailoverSticky FailoverMode = "Sticky"
	// FailoverPreferPrimary returns to the primary once the primary has had all its tracks
	// for recoverySeconds.
	FailoverPreferPrimary FailoverMode = "PreferPrimary"
	// FailoverManual leaves the leg on air only when the leg loses media, when its pod is about to
	// end, or when select changes.
	FailoverManual FailoverMode = "Manual"
)

// Selection is a person's choice of the leg to play.
//
// +kubebuilder:validation:Enum=Auto;Primary;Backup
type Selection string

// The values of Failover.Select.
const (
	// SelectAuto leaves the choice to mode.
	SelectAuto Selection = "Auto"
	// SelectPrimary plays the primary whenever the primary is live.
	SelectPrimary Selection = "Primary"
	// SelectBackup plays the backup whenever the backup is live.
	SelectBackup Selection = "Backup"
)

// Failover says when to leave a leg and when to return to it.
type Failover struct {
	// mode says whether to return to the primary once the primary is back.
	//
	// Sticky stays on the leg on air until that leg is lost. Viewers thereby see as few
	// switches as possible. There is one exception. If the backup was the first leg on air
	// and the primary starts within ten seconds, the primary replaces the backup.
	//
	// PreferPrimary returns to the primary once the primary has had all its tracks for
	// recoverySeconds. Choose PreferPrimary if the primary's picture is better, or if the
	// backup costs money.
	//
	// Manual leaves the leg on air only when that leg loses media, when its pod is about to
	// end, or when select changes. After a loss the pair does not return by itself, not even
	// to a pinned leg.
	// +optional
	// +kubebuilder:default=Sticky
	Mode FailoverMode `json:"mode,omitempty"`

	// select pins the pair to one leg, Primary or Backup, whatever mode says. Auto leaves
	// the choice to mode. A changed pin takes effect at the leg's next key frame. Pin a leg
	// while you work on the other encoder. Set select back to Auto afterwards.
	//
	// A pin is a preference and never takes the picture away. If the pinned leg is lost, the
	// other leg is played until the pinned leg has had all its tracks for recoverySeconds.
	// +optional
	// +kubebuilder:default=Auto
	Select Selection `json:"select,omitempty"`

	// inputLossMilliseconds is how long a connected encoder may be silent, in milliseconds,
	// before its leg counts as lost (input loss). The picture is lost when no picture has
	// arrived for that time, or for three frame intervals if that is longer. The sound is
	// lost 2 seconds later. A closed connection is a loss at once, without this wait.
	//
	// While the sound is on time, the picture is lost only when no picture has arrived for 2
	// seconds. A slower rate is no loss. A browser that shares a still screen sends one
	// picture a second.
	//
	// A lower value is faster. A value that is too low takes a short disturbance of the
	// network for a loss. 100 to 60000.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=60000
	InputLossMilliseconds int32 `json:"inputLossMilliseconds,omitempty"`

	// maxJitterMilliseconds is the longest gap, in milliseconds, of input that comes in
	// bursts. A relay, or a bonded link that collects some seconds, sends such input. After
	// the gap the media arrives late and catches up. Input comes in bursts when gaps of 2
	// seconds or more repeat within a minute. Gaps of 0.75 seconds or more count too, if
	// they take a quarter of the time.
	//
	// A leg with regular input is then chosen over a leg whose input comes in bursts. If
	// both inputs come in bursts, playing is delayed once by the longest gap, up to this
	// time. The leg may then be silent for one and a half times its longest gap before it
	// counts as lost. The delay ends with the next switch. Until then the leg has the
	// warning BurstyInput.
	//
	// Default: 5000. With 0 each gap counts as input loss. 0 to 10000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxJitterMilliseconds *int32 `json:"maxJitterMilliseconds,omitempty"`

	// recoverySeconds is how long, in seconds, a preferred leg must have had all its tracks
	// before the pair returns to it. With mode Sticky and select Auto no leg is preferred,
	// and this field has no effect.
	//
	// Damping: each failover within ten minutes of the last doubles this time, up to ten
	// minutes (10, 20, 40 seconds and so on); a failover after ten quiet minutes starts from
	// the beginning. 0 to 600.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	RecoverySeconds *int32 `json:"recoverySeconds,omitempty"`

	// content says when the content of a leg whose media arrives counts as faulty: a black or
	// frozen picture, silence, a low rate. Default: such faults are told, and do not switch.
	// +optional
	Content *Content `json:"content,omitempty"`
}
