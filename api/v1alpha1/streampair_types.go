package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StreamPair is one programme fed by two encoders. Viewers open one URL. When the primary's
// media stops, viewers get the backup's media inside the same connection.
//
// Its name is at most 50 characters: lower case letters, digits and '-', starting with
// a letter, ending with a letter or digit. The pair's objects are named after it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sp,categories={all,streampair}
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.activeStream.role`,description="The leg that viewers get"
// +kubebuilder:printcolumn:name="On air",type=string,JSONPath=`.status.conditions[?(@.type=="OnAir")].status`,description="Whether viewers get a live picture"
// +kubebuilder:printcolumn:name="Redundant",type=string,JSONPath=`.status.conditions[?(@.type=="Redundant")].status`,description="Whether the other leg could take over"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether publishers and viewers are accepted"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the pair is ready or not"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.playbackURL`,priority=1,description="Opens the player"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:selectablefield:JSONPath=`.spec.app`
// +kubebuilder:selectablefield:JSONPath=`.spec.primary.streamID`
// +kubebuilder:selectablefield:JSONPath=`.spec.backup.streamID`
// +kubebuilder:selectablefield:JSONPath=`.spec.failover.select`
// +kubebuilder:selectablefield:JSONPath=`.status.activeStream.role`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')",message="metadata.name must be at most 50 characters: lower case letters, digits and '-', starting with a letter, ending with a letter or digit"
type StreamPair struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which two streams make the pair, how to choose between them, and how
	// publishers and viewers reach the pair. Only primary and backup are required.
	//
	// Everything may be changed later. A changed stream id, app, host port, image or
	// resource replaces the media pods, one leg after the other. Most other changes take
	// effect in the running pods. The reference lists them.
	// +required
	Spec StreamPairSpec `json:"spec,omitzero"`

	// status is the last known state of the pair. The operator writes it. Until the operator
	// has written a status, observedGeneration is -1. Without that, tools that wait for a
	// status would take the pair for finished.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status StreamPairStatus `json:"status,omitzero"`
}

// StreamPairList is a list of StreamPairs.
//
// +kubebuilder:object:root=true
type StreamPairList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []StreamPair `json:"items"`
}

// StreamPairSpec is the desired state of a pair.
//
// +kubebuilder:validation:XValidation:rule="self.primary.streamID != self.backup.streamID",message="primary.streamID and backup.streamID must differ: give the backup's encoder an id of its own",fieldPath=".backup.streamID"
type StreamPairSpec struct {
	// app is the first path segment of every URL of the pair: rtmp://host/{app}/{streamID}
	// and http://host/{app}/play.html. 1 to 64 letters, digits, '.', '_' and '-', starting
	// with a letter or digit.
	// +optional
	// +kubebuilder:default=live
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="app stands in URLs as it is: use 1 to 64 letters, digits, '.', '_' and '-', starting with a letter or digit"
	App string `json:"app,omitempty"`

	// primary is the leg that is played first when both legs are live.
	// +required
	Primary Leg `json:"primary,omitzero"`

	// backup is the leg that is played when the primary's media stops.
	// +required
	Backup Leg `json:"backup,omitzero"`

	// failover says when to leave a leg and when to return to it.
	//
	// The media servers decide by themselves, within milliseconds, and need neither the
	// operator nor the API server for it. The media servers leave the leg on air as soon as
	// it is lost (see inputLossMilliseconds). They also leave it if it has lost its picture
	// or its sound and the other leg has more. Nothing delays this. When both legs are lost,
	// viewers keep their sessions and the last picture until one of them returns.
	//
	// mode says what happens once the lost leg is back: stay, or return to the preferred
	// leg. select overrules mode. A return waits until the preferred leg has had all its
	// tracks for recoverySeconds. Then it waits for the leg's next key frame, so that
	// viewers see a clean cut. Two returns are at least a minute apart. The wait grows after
	// failovers that follow one another within ten minutes (damping). An encoder that comes
	// and goes thereby does not make the picture jump.
	// +optional
	// +kubebuilder:default={}
	Failover Failover `json:"failover,omitzero"`

	// playback is about viewers: how they watch, at which URL, and who may watch.
	// +optional
	// +kubebuilder:default={}
	Playback Playback `json:"playback,omitzero"`

	// publish is about encoders: what they must show in order to publish.
	// +optional
	// +kubebuilder:default={}
	Publish Publish `json:"publish,omitzero"`

	// exposure says how the pair is reached from outside the cluster, separately for each
	// surface. The surfaces are http for viewers and WHIP, rtmp for encoders, and webrtc for
	// the media of browsers. Without exposure the pair is reached inside the cluster only. A
	// media server outside a cluster does not read this field.
	// +optional
	// +kubebuilder:default={}
	Exposure Exposure `json:"exposure,omitzero"`

	// mediaServer is about the two media pods. A media server outside a cluster reads only
	// iceServers.
	// +optional
	// +kubebuilder:default={}
	MediaServer MediaServer `json:"mediaServer,omitzero"`

	// objectLabels are added to the operator's own labels of the pair's objects. A policy
	// may demand a label that names an owner, for example. Pods get mediaServer.podLabels.
	// +optional
	ObjectLabels Labels `json:"objectLabels,omitempty"`

	// notifications are receivers of the pair's events, at most 8. A receiver gets the events that
	// happen after it was added. The operator sends them. A media server outside a cluster does
	// not read this field.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Notifications []Notification `json:"notifications,omitempty"`

	// paused stops the pair. Its media pods are removed, and publishers and viewers get a
	// clean end. Addresses and keys stay. Set paused back to false to go on.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// Leg is one side of a pair.
type Leg struct {
	// streamID names the leg's stream: the last path segment of its publish URL, and name or
	// backupStreamId of the play URL. 1 to 128 letters, digits, '.', '_' and '-', starting
	// with a letter or digit. Upper and lower case differ.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="streamID stands in URLs as it is: use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter or digit"
	StreamID string `json:"streamID,omitempty"`
}

// Role names one of the two legs of a pair.
//
// +kubebuilder:validation:Enum=Primary;Backup
type Role string

// The two sides of a pair.
const (
	// RolePrimary is the leg that is played first when both legs are live.
	RolePrimary Role = "Primary"
	// RoleBackup is the leg that is played when the primary's media stops.
	RoleBackup Role = "Backup"
)

// SecretReference names a Secret of the pair's namespace.
type SecretReference struct {
	// name of the Secret, in the pair's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be the name of a Secret: lower case letters, digits, '-' and '.', starting and ending with a letter or digit"
	Name string `json:"name,omitempty"`
}
