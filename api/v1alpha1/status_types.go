package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StreamPairStatus is the pair as it was last seen. Nothing in it moves fast: bit
// rates and viewer counts are metrics. It never holds a token.
type StreamPairStatus struct {
	// observedGeneration is the generation of the spec that was acted on last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// activeStream is the last agreed leg while any pod plays it.
	// +optional
	ActiveStream *ActiveStream `json:"activeStream,omitempty"`

	// playbackURL opens the player.
	// +optional
	PlaybackURL string `json:"playbackURL,omitempty"`

	// ingest says for each leg where to publish and what is there.
	// +optional
	// +listType=map
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=2
	Ingest []IngestStatus `json:"ingest,omitempty"`

	// lastSwitch is the last change of the active leg.
	// +optional
	LastSwitch *Switch `json:"lastSwitch,omitempty"`

	// conditions are the pair's state in the form of kubectl wait.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ActiveStream is the leg whose media is going out.
type ActiveStream struct {
	// +required
	Role Role `json:"role,omitempty"`
	// +required
	StreamID string `json:"streamID,omitempty"`
	// startTime is when this leg became the active one.
	// +required
	StartTime metav1.Time `json:"startTime,omitzero"`
	// reason is why it did, such as PrimaryInputLost.
	// +required
	Reason string `json:"reason,omitempty"`
}

// Switch is a change of the active leg.
type Switch struct {
	// +required
	From Role `json:"from,omitempty"`
	// +required
	To Role `json:"to,omitempty"`
	// +required
	Reason string `json:"reason,omitempty"`
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// IngestState is the state of one leg's input.
//
// +kubebuilder:validation:Enum=Waiting;Live;Lost;Unknown
type IngestState string

// The states of a leg's input.
const (
	// IngestWaiting: nobody has published yet.
	IngestWaiting IngestState = "Waiting"
	// IngestLive: media arrives.
	IngestLive IngestState = "Live"
	// IngestLost: media arrived and stopped.
	IngestLost IngestState = "Lost"
	// IngestUnknown: the leg's pod cannot be asked.
	IngestUnknown IngestState = "Unknown"
)

// IngestStatus is one leg as its pod sees it.
type IngestStatus struct {
	// +required
	Role Role `json:"role,omitempty"`
	// rtmp is the RTMP publish URL, without a token.
	// +optional
	RTMP string `json:"rtmp,omitempty"`
	// whip is the WHIP endpoint, without a token.
	// +optional
	WHIP string `json:"whip,omitempty"`
	// state of the leg's input.
	// +optional
	State IngestState `json:"state,omitempty"`
	// playing is the leg that this leg's pod plays to its viewers.
	// +optional
	Playing Role `json:"playing,omitempty"`
	// +optional
	PodName string `json:"podName,omitempty"`
	// +optional
	NodeName string `json:"nodeName,omitempty"`
}
