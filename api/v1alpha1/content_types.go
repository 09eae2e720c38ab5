package v1alpha1

// ContentPolicy says what a fault of a leg's content does.
//
// +kubebuilder:validation:Enum=Observe;Failover
type ContentPolicy string

// The values of Content.Policy.
const (
	// ContentObserve: conditions, Events and metrics tell of the fault.
	ContentObserve ContentPolicy = "Observe"
	// ContentFailover: the fault also lowers the leg's rank, so that the other leg is played.
	ContentFailover ContentPolicy = "Failover"
)

// Content says when the content of a leg whose media arrives counts as faulty.
//
// A fault is a difference from the other leg. A picture that is black on both legs is a fade, and
// silence on both legs is a pause. Both legs are compared at the same moment of the programme. While
// it is unknown by how much one leg is behind the other, a fault counts 30 seconds later.
type Content struct {
	// policy says what a fault does.
	//
	// Observe: conditions, Events and metrics tell of the fault. Failover: the fault also lowers
	// the leg's rank, so that the other leg is played, by a planned switch. From the highest to
	// the lowest: a whole leg, a leg with a low bit rate or picture rate, a silent leg, a leg
	// without sound, a black or frozen leg, a leg without a picture. A pin (select) and mode Manual
	// come first: then no fault of the content switches.
	// +optional
	// +kubebuilder:default=Observe
	Policy ContentPolicy `json:"policy,omitempty"`

	// silence is sound that arrives and cannot be heard.
	// +optional
	Silence *SilenceFault `json:"silence,omitempty"`

	// black is a picture that is black, or of one colour.
	// +optional
	Black *PictureFault `json:"black,omitempty"`

	// frozen is a picture that stands still.
	// +optional
	Frozen *PictureFault `json:"frozen,omitempty"`

	// lowBitrate is a bit rate below a limit. It is off until belowKilobitsPerSecond is set.
	// +optional
	LowBitrate *LowBitrateFault `json:"lowBitrate,omitempty"`

	// lowFrameRate is a picture rate far below the leg's usual rate.
	// +optional
	LowFrameRate *LowFrameRateFault `json:"lowFrameRate,omitempty"`

	// clearSeconds is how long a leg must be without a fault, in seconds, before the fault is over.
	// Default: 5. 1 to 600.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	ClearSeconds *int32 `json:"clearSeconds,omitempty"`
}

// PictureFault says when a fault of the picture counts.
type PictureFault struct {
	// afterSeconds is how long the fault must last, in seconds, before it counts. 0: it never
	// counts. Pictures are judged at key frames, so that a fault may count one key frame
	// interval later. Default: 5 for black, 10 for frozen. 0 to 600.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	AfterSeconds *int32 `json:"afterSeconds,omitempty"`
}

// SilenceFault says when silence counts as a fault.
type SilenceFault struct {
	// afterSeconds is how long the sound must be silent, in seconds, before it counts. 0: silence
	// never counts. Default: 10. 0 to 600.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	AfterSeconds *int32 `json:"afterSeconds,omitempty"`

	// belowDBFS is the level in dBFS below which sound is silent, on every channel. The hum of an
	// open line may need a higher one. Default: -60. -90 to -20.
	// +optional
	// +kubebuilder:validation:Minimum=-90
	// +kubebuilder:validation:Maximum=-20
	BelowDBFS *int32 `json:"belowDBFS,omitempty"`
}

// LowBitrateFault says when a low bit rate counts as a fault.
type LowBitrateFault struct {
	// afterSeconds is how long the bit rate must be low, in seconds, before it counts. 0: it never
	// counts. Default: 10. 0 to 600.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	AfterSeconds *int32 `json:"afterSeconds,omitempty"`

	// belowKilobitsPerSecond is the bit rate of picture and sound, in kbit/s, below which the bit
	// rate is low. Default: 0, which no bit rate is below. 0 to 100000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	BelowKilobitsPerSecond *int32 `json:"belowKilobitsPerSecond,omitempty"`
}

// LowFrameRateFault says when a low picture rate counts as a fault.
type LowFrameRateFault struct {
	// afterSeconds is how long the picture rate must be low, in seconds, before it counts. 0: it
	// never counts. Default: 10. 0 to 600.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	AfterSeconds *int32 `json:"afterSeconds,omitempty"`

	// belowPercent is the share of the leg's usual picture rate, in percent, below which the
	// picture rate is low. Default: 50. 0 to 99.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=99
	BelowPercent *int32 `json:"belowPercent,omitempty"`
}
