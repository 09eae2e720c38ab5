package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StreamPairStatus is the last known state of a pair. Nothing in it changes often. Bit rates
// and viewer counts are metrics. The status never holds a token.
type StreamPairStatus struct {
	// observedGeneration is the generation of the spec that the operator applied last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// operator is the release that serves the pair: namespace/name of its Lease. Other
	// operators leave the pair alone. They take the pair over once this operator no longer
	// runs.
	// +optional
	Operator string `json:"operator,omitempty"`

	// operatorClaim is another operator's question whether the operator in status.operator
	// still runs. An operator that runs removes the question. An operator that does not
	// remove it within two minutes loses the pair.
	// +optional
	OperatorClaim *OperatorClaim `json:"operatorClaim,omitempty"`

	// activeStream is the leg that viewers get. It is absent while viewers get no live picture.
	// +optional
	ActiveStream *ActiveStream `json:"activeStream,omitempty"`

	// playbackURL opens the player. If playback.auth asks for a token, add `&token=` and the
	// token. While the condition Exposed has the reason ClusterOnly, the URL can be opened
	// inside the cluster only.
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

	// history has the latest events of the pair, the newest first: switches, times without a
	// picture, and times without redundancy. `kubectl streampair history` prints it. An event that
	// both media pods report is one entry.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	History []HistoryEntry `json:"history,omitempty"`

	// historyCompleteSince is since when history has every event that a media pod told the operator.
	// +optional
	HistoryCompleteSince *metav1.MicroTime `json:"historyCompleteSince,omitempty"`

	// notifications say for each receiver in spec.notifications what it has.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Notifications []NotificationStatus `json:"notifications,omitempty"`

	// conditions are the pair's state, for `kubectl wait`: Ready, OnAir, PrimaryLive,
	// BackupLive, PrimaryHealthy, BackupHealthy, InStep, Redundant, Converged, Exposed and
	// Progressing.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// OperatorClaim is the question of an operator that wants to take the pair over.
type OperatorClaim struct {
	// operator is the operator that asks: namespace/name of its Lease.
	// +required
	Operator string `json:"operator,omitempty"`
	// time is when the question was asked.
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// ActiveStream is the leg that viewers get.
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
	// reason is why this leg became the active one, such as Started, PrimaryInputLost,
	// PrimaryDisconnected, PrimaryRecovered or Selected.
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
	// reason is why the leg changed, such as PrimaryInputLost, PrimaryDisconnected,
	// PrimaryRecovered or Selected.
	// +required
	Reason string `json:"reason,omitempty"`
	// time is when the media server made the switch.
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// HistoryKind says what happened. A reader ignores a kind that it does not know.
//
// +kubebuilder:validation:MaxLength=32
type HistoryKind string

// The kinds of events.
const (
	// HistoryOnAir: viewers get the leg's picture, for the first time or after Dark.
	HistoryOnAir HistoryKind = "OnAir"
	// HistoryDark: neither leg has media, or no media pod runs. The leg was the last one on air.
	HistoryDark HistoryKind = "Dark"
	// HistorySwitched: the leg was put on air in place of the other one.
	HistorySwitched HistoryKind = "Switched"
	// HistoryRedundant: both legs are whole, so that each of them could take over. The leg is the
	// one that came last.
	HistoryRedundant HistoryKind = "Redundant"
	// HistoryRedundancyLost: the leg is no longer whole.
	HistoryRedundancyLost HistoryKind = "RedundancyLost"
)

// HistoryEntry is one event of a pair.
type HistoryEntry struct {
	// number counts the events of the pair in the order in which the operator learned of them.
	// +required
	Number int64 `json:"number,omitempty"`
	// kind says what happened: OnAir, Dark, Switched, Redundant or RedundancyLost.
	// +required
	Kind HistoryKind `json:"kind,omitempty"`
	// time is when it happened, by the clock of a media pod.
	// +required
	Time metav1.MicroTime `json:"time,omitzero"`
	// leg is the leg that the event is about: the leg that was put on air, was on air until it was
	// dark, was lost, or came back.
	// +required
	Leg Role `json:"leg,omitempty"`
	// reason is why it happened, such as PrimaryInputLost, PrimaryDisconnected or Selected. It is
	// absent when a leg came back.
	// +optional
	Reason string `json:"reason,omitempty"`
	// gapMilliseconds is how long viewers had no new picture, for Switched and OnAir. If the media
	// pods report different gaps, it is the longer one.
	// +optional
	GapMilliseconds int64 `json:"gapMilliseconds,omitempty"`
}

// IngestState is the state of one leg's input.
//
// +kubebuilder:validation:Enum=Waiting;Live;Lost;Unknown
type IngestState string

// The states of a leg's input.
const (
	// IngestWaiting: no encoder has published yet.
	IngestWaiting IngestState = "Waiting"
	// IngestLive: media arrives.
	IngestLive IngestState = "Live"
	// IngestLost: media has stopped.
	IngestLost IngestState = "Lost"
	// IngestUnknown: the leg's pod cannot be asked.
	IngestUnknown IngestState = "Unknown"
)

// MessageLive is how the message of PrimaryLive and BackupLive begins with the reason Live. What follows
// is what the media server advises.
const MessageLive = "Media arrives."

// IngestStatus is one leg as its pod sees it.
type IngestStatus struct {
	// role is the leg's side of the pair.
	// +required
	Role Role `json:"role,omitempty"`
	// rtmp is the RTMP publish URL, without a token. `kubectl streampair keys` adds it.
	// +optional
	RTMP string `json:"rtmp,omitempty"`
	// srt is the SRT publish URL, without a token and passphrase. It is set if exposure.srt is.
	// +optional
	SRT string `json:"srt,omitempty"`
	// whip is the WHIP endpoint, without a token.
	// +optional
	WHIP string `json:"whip,omitempty"`
	// state of the leg's input. Waiting: no encoder has published yet. Live: media arrives.
	// Lost: media has stopped. Unknown: the leg's pod cannot be asked.
	// +optional
	State IngestState `json:"state,omitempty"`
	// playing is the leg that this leg's pod plays to its viewers.
	// +optional
	Playing Role `json:"playing,omitempty"`
	// podName is the leg's media pod.
	// +optional
	PodName string `json:"podName,omitempty"`
	// nodeName is the node that the pod runs on.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
}
