package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StreamPairStatus is the pair as it was last seen. Nothing in it moves fast: bit
// rates and viewer counts are metrics. It never holds a token.
type StreamPairStatus struct {
	// observedGeneration is the generation of the spec that was acted on last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// activeStream is the leg that viewers get, while any pod plays it. It is absent when
	// viewers get no live picture.
	// +optional
	ActiveStream *ActiveStream `json:"activeStream,omitempty"`

	// playbackURL opens the player. Where playback.auth asks for a token, `&token=` is to
	// be added. It can be opened inside the cluster only while the condition Exposed has
	// the reason ClusterOnly.
	// +optional
	PlaybackURL string `json:"playbackURL,omitempty"`

	// ingest says for each leg where to publish and what arrives there.
	// +optional
	// +listType=map
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=2
	Ingest []IngestStatus `json:"ingest,omitempty"`

	// lastSwitch is the last change from one leg to the other.
	// +optional
	LastSwitch *Switch `json:"lastSwitch,omitempty"`

	// conditions are the pair's state, in the form of `kubectl wait`: Ready, OnAir,
	// PrimaryLive, BackupLive, Redundant, Converged, Exposed and Progressing.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ActiveStream is the leg whose media is going out.
type ActiveStream struct {
	// role is the leg's side of the pair.
	// +required
	Role Role `json:"role,omitempty"`
	// streamID is the leg's stream.
	// +required
	StreamID string `json:"streamID,omitempty"`
	// startTime is when this leg became the active one.
	// +required
	StartTime metav1.Time `json:"startTime,omitzero"`
	// reason is why it did, such as Started, PrimaryInputLost, PrimaryDisconnected,
	// PrimaryRecovered or Selected.
	// +required
	Reason string `json:"reason,omitempty"`
}

// Switch is a change from one leg to the other.
type Switch struct {
	// from is the leg that was left.
	// +required
	From Role `json:"from,omitempty"`
	// to is the leg that took its place.
	// +required
	To Role `json:"to,omitempty"`
	// reason is why, such as PrimaryInputLost, PrimaryDisconnected, PrimaryRecovered or
	// Selected.
	// +required
	Reason string `json:"reason,omitempty"`
	// time is when the media server made the switch.
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
	// role is the leg's side of the pair.
	// +required
	Role Role `json:"role,omitempty"`
	// rtmp is the RTMP publish URL, without a token. `kubectl streampair keys` adds it.
	// +optional
	RTMP string `json:"rtmp,omitempty"`
	// whip is the WHIP endpoint, without a token.
	// +optional
	WHIP string `json:"whip,omitempty"`
	// state of the leg's input. Waiting: nobody has published yet. Live: media arrives.
	// Lost: media arrived and stopped. Unknown: the leg's pod cannot be asked.
	// +optional
	State IngestState `json:"state,omitempty"`
	// playing is the leg that this leg's pod plays to its viewers.
	// +optional
	Playing Role `json:"playing,omitempty"`
	// podName is the leg's media pod.
	// +optional
	PodName string `json:"podName,omitempty"`
	// nodeName is the node that it runs on.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
}
