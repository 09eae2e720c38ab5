package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StreamPair is one programme fed by two encoders. Viewers open one URL; when the
// primary's media stops, they get the backup's, inside the same connection.
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

	// spec says which two streams make the pair, how to choose between them,
	// and how publishers and viewers reach it. Only primary and backup are required.
	//
	// Everything may be changed later. A changed stream id, app, port, image or
	// resource replaces the media pods, one leg after the other; the rest takes
	// effect in them as they run.
	// +required
	Spec StreamPairSpec `json:"spec,omitzero"`

	// status is the pair as it was last seen. It is written by the operator.
	// +optional
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

// StreamPairSpec is the pair as it should be.
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

	// primary is the leg that is played first when both are there.
	// +required
	Primary Leg `json:"primary,omitzero"`

	// backup is the leg that is played when the primary's media stops.
	// +required
	Backup Leg `json:"backup,omitzero"`

	// failover says when to leave a leg and when to come back to it.
	//
	// The media servers decide by themselves, within milliseconds, and need neither the
	// operator nor the API server for it. The leg on air is left as soon as it is lost
	// (see inputLossMilliseconds), or has lost its picture or its sound, if the other leg
	// is better off; nothing delays that. When both legs are lost, viewers keep their
	// sessions and the last picture until one of them returns.
	//
	// What happens once the lost leg is back is for mode to say, or for select, which
	// overrules it: stay, or return to the leg that is preferred. Such a return is not
	// urgent: it waits until the preferred leg has been whole for recoverySeconds, and then
	// for its next key frame, so that viewers see a clean cut. Two returns are at least a
	// minute apart, and after failovers that follow one another within ten minutes the
	// wait grows (damping), so that an encoder that comes and goes does not make the
	// picture jump.
	// +optional
	// +kubebuilder:default={}
	Failover Failover `json:"failover,omitzero"`

	// playback is about viewers: how they watch, at which URL, and who may.
	// +optional
	// +kubebuilder:default={}
	Playback Playback `json:"playback,omitzero"`

	// publish is about encoders: what they must show to be let in.
	// +optional
	// +kubebuilder:default={}
	Publish Publish `json:"publish,omitzero"`

	// exposure says how the pair is reached from outside the cluster, for each surface
	// by itself: http for viewers and WHIP, rtmp for encoders, webrtc for the media of
	// browsers. Without it the pair is reached inside the cluster only. A media server
	// outside a cluster does not read it.
	// +optional
	// +kubebuilder:default={}
	Exposure Exposure `json:"exposure,omitzero"`

	// mediaServer is about the two media pods. A media server outside a cluster reads
	// only iceServers of it.
	// +optional
	// +kubebuilder:default={}
	MediaServer MediaServer `json:"mediaServer,omitzero"`

	// paused stops the pair: its media pods are removed, publishers and viewers get a
	// clean end, addresses and keys stay. Set it back to false to go on.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// Leg is one side of a pair.
type Leg struct {
	// streamID names the leg's stream: the last path segment of its publish URL, and
	// name or backupStreamId of the play URL. 1 to 128 letters, digits, '.', '_' and
	// '-', starting with a letter or digit. Capitals count.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="streamID stands in URLs as it is: use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter or digit"
	StreamID string `json:"streamID,omitempty"`
}

// Role is the side of a pair on which a leg stands.
//
// +kubebuilder:validation:Enum=Primary;Backup
type Role string

// The two sides of a pair.
const (
	// RolePrimary is the leg that is played first when both are there.
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
