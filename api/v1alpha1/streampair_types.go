package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StreamPair is one programme fed by two encoders. Viewers open one URL; when the
// primary's media stops, they get the backup's, inside the same connection.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sp,categories=streampair
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.activeStream.role`
// +kubebuilder:printcolumn:name="On air",type=string,JSONPath=`.status.conditions[?(@.type=="OnAir")].status`
// +kubebuilder:printcolumn:name="Redundant",type=string,JSONPath=`.status.conditions[?(@.type=="Redundant")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.playbackURL`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')",message="metadata.name must be at most 50 characters: lower case letters, digits and '-', starting with a letter, ending with a letter or digit"
type StreamPair struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the pair as it should be.
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

// StreamPairSpec says which two streams make the pair, how to choose between them,
// and how publishers and viewers reach it.
//
// +kubebuilder:validation:XValidation:rule="self.primary.streamID != self.backup.streamID",message="primary.streamID and backup.streamID must differ"
type StreamPairSpec struct {
	// app is the first path segment of every URL of the pair: rtmp://host/{app}/{streamID}
	// and http://host/{app}/play.html. 1 to 64 letters, digits, '.', '_' and '-', starting
	// with a letter or digit.
	// +optional
	// +kubebuilder:default=live
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	App string `json:"app,omitempty"`

	// primary is the leg that is played first when both are there.
	// +required
	Primary Leg `json:"primary,omitzero"`

	// backup is the leg that is played when the primary's media stops.
	// +required
	Backup Leg `json:"backup,omitzero"`

	// failover says when to leave a leg and when to come back to it.
	// +optional
	// +kubebuilder:default={}
	Failover Failover `json:"failover,omitzero"`

	// playback is about viewers.
	// +optional
	// +kubebuilder:default={}
	Playback Playback `json:"playback,omitzero"`

	// publish is about encoders.
	// +optional
	// +kubebuilder:default={}
	Publish Publish `json:"publish,omitzero"`

	// exposure says how the pair is reached from outside the cluster, for each surface
	// by itself. A media server outside a cluster does not read it.
	// +optional
	// +kubebuilder:default={}
	Exposure Exposure `json:"exposure,omitzero"`

	// mediaServer is about the two media pods. A media server outside a cluster reads
	// only iceServers of it.
	// +optional
	// +kubebuilder:default={}
	MediaServer MediaServer `json:"mediaServer,omitzero"`

	// paused stops the pair: its media pods are removed, publishers and viewers get a
	// clean end, addresses and keys stay.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// Leg is one side of a pair.
type Leg struct {
	// streamID names the leg's stream: the last path segment of its publish URL, and
	// name or backupStreamId of the play URL. 1 to 128 letters, digits, '.', '_' and
	// '-', starting with a letter or digit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	StreamID string `json:"streamID,omitempty"`
}

// Role is the side of a pair on which a leg stands.
//
// +kubebuilder:validation:Enum=Primary;Backup
type Role string

// The two sides of a pair.
const (
	RolePrimary Role = "Primary"
	RoleBackup  Role = "Backup"
)

// FailoverMode says whether a pair comes back to its primary.
//
// +kubebuilder:validation:Enum=Sticky;PreferPrimary
type FailoverMode string

// The modes of Failover.
const (
	// FailoverSticky stays on the backup until the backup is lost in its turn.
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
	SelectAuto    Selection = "Auto"
	SelectPrimary Selection = "Primary"
	SelectBackup  Selection = "Backup"
)

// Failover says when to leave a leg and when to come back to it.
type Failover struct {
	// mode: Sticky stays on the backup until the backup is lost in its turn, so that
	// viewers see as few switches as can be. PreferPrimary returns to the primary once
	// it has had video and audio for recoverySeconds.
	// +optional
	// +kubebuilder:default=Sticky
	Mode FailoverMode `json:"mode,omitempty"`

	// select pins the pair to one leg: Primary or Backup. A pin is a preference: when
	// that leg is lost, the other is played. Auto leaves the choice to mode.
	// +optional
	// +kubebuilder:default=Auto
	Select Selection `json:"select,omitempty"`

	// inputLossMilliseconds is how long a connected encoder may be silent before its
	// leg counts as lost, or three frame intervals if that is longer. A closed
	// connection is loss at once. 100 to 60000.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=60000
	InputLossMilliseconds int32 `json:"inputLossMilliseconds,omitempty"`

	// recoverySeconds is how long a preferred leg must have had all its tracks before
	// the pair returns to it. Each failover within ten minutes of the last doubles it,
	// up to ten minutes. 0 to 600.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	RecoverySeconds *int32 `json:"recoverySeconds,omitempty"`
}

// SecretReference names a Secret of the pair's namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PublishAuth says what an encoder must show.
//
// +kubebuilder:validation:Enum=Token;None
type PublishAuth string

// The values of Publish.Auth.
const (
	PublishToken PublishAuth = "Token"
	PublishNone  PublishAuth = "None"
)

// Publish is about encoders.
type Publish struct {
	// auth: Token asks encoders for the pair's publish token (`?token=` in the RTMP
	// stream key, the bearer token of WHIP). None lets in whoever reaches the port; a
	// live publisher can then not be replaced, only a silent one.
	// +optional
	// +kubebuilder:default=Token
	Auth PublishAuth `json:"auth,omitempty"`

	// tokenSecretRef names a Secret of your own with the key publishToken, and playToken
	// or jwtKey where playback.auth needs them. Without it one is generated.
	// +optional
	TokenSecretRef *SecretReference `json:"tokenSecretRef,omitempty"`

	// tokenGeneration: raise it by one to have the generated tokens made anew. It does
	// nothing to a Secret of your own.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TokenGeneration int64 `json:"tokenGeneration,omitempty"`
}

// PlaybackAuth says what a viewer must show.
//
// +kubebuilder:validation:Enum=None;Token;JWT
type PlaybackAuth string

// The values of Playback.Auth.
const (
	PlaybackNone  PlaybackAuth = "None"
	PlaybackToken PlaybackAuth = "Token"
	PlaybackJWT   PlaybackAuth = "JWT"
)

// PlaybackMethod is a way to bring the picture to a viewer.
//
// +kubebuilder:validation:Enum=WebRTC;HLS
type PlaybackMethod string

// The members of Playback.Order.
const (
	PlaybackWebRTC PlaybackMethod = "WebRTC"
	PlaybackHLS    PlaybackMethod = "HLS"
)

// LegacyClients says what a client gets that cannot name a backup.
//
// +kubebuilder:validation:Enum=Pair;Stream
type LegacyClients string

// The values of Playback.LegacyClients.
const (
	LegacyClientsPair   LegacyClients = "Pair"
	LegacyClientsStream LegacyClients = "Stream"
)

// Playback is about viewers.
//
// +kubebuilder:validation:XValidation:rule="!has(self.externalURL) || self.externalURL.matches('^https?://[^/?#]+[^?#]*$')",message="externalURL must be an http:// or https:// URL without query or fragment"
type Playback struct {
	// order is the order in which the player tries the ways to play.
	// +optional
	// +listType=atomic
	// +kubebuilder:default={WebRTC,HLS}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="order must name each way to play once"
	Order []PlaybackMethod `json:"order,omitempty"`

	// externalURL is the base under which viewers reach the pair, without the app, such
	// as https://live.example.com. It wins over what exposure yields; set it for an
	// Ingress, a Gateway or a CDN.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	ExternalURL string `json:"externalURL,omitempty"`

	// tlsSecretName names a Secret of type kubernetes.io/tls for HTTPS and RTMPS.
	// Without it the media pods use a certificate of their own making, which browsers
	// do not trust.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TLSSecretName string `json:"tlsSecretName,omitempty"`

	// auth: None lets everybody watch. Token asks for the pair's play token
	// (`?token=`). JWT asks for a JSON Web Token signed with HS256 and the key jwtKey,
	// with exp, whose sub is the pair's name or one of its stream ids.
	// +optional
	// +kubebuilder:default=None
	Auth PlaybackAuth `json:"auth,omitempty"`

	// tokenSecretRef names a Secret of your own with the key playToken or jwtKey, for
	// those who must not read the publish token. Without it the keys are looked for in
	// the Secret of publish.tokenSecretRef, or generated.
	// +optional
	TokenSecretRef *SecretReference `json:"tokenSecretRef,omitempty"`

	// legacyClients says what a client gets that cannot name a backup: the Pair, with
	// failover, under either stream id; or just the Stream it asked for.
	// +optional
	// +kubebuilder:default=Pair
	LegacyClients LegacyClients `json:"legacyClients,omitempty"`
}
