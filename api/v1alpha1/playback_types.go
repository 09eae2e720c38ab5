package v1alpha1

// PlaybackAuth says what a viewer must show.
//
// +kubebuilder:validation:Enum=None;Token;JWT
type PlaybackAuth string

// The values of Playback.Auth.
const (
	// PlaybackNone lets everybody watch.
	PlaybackNone PlaybackAuth = "None"
	// PlaybackToken asks for the pair's play token.
	PlaybackToken PlaybackAuth = "Token"
	// PlaybackJWT asks for a signed JSON Web Token.
	PlaybackJWT PlaybackAuth = "JWT"
)

// PlaybackMethod is a way to bring the picture to a viewer.
//
// +kubebuilder:validation:Enum=WebRTC;HLS
type PlaybackMethod string

// The members of Playback.Order.
const (
	// PlaybackWebRTC has well under a second of delay.
	PlaybackWebRTC PlaybackMethod = "WebRTC"
	// PlaybackHLS has a second of delay or more.
	PlaybackHLS PlaybackMethod = "HLS"
)

// LegacyClients says what a client that cannot name a backup gets.
//
// +kubebuilder:validation:Enum=Pair;Stream
type LegacyClients string

// The values of Playback.LegacyClients.
const (
	// LegacyClientsPair gives them the pair, with failover, under either stream id.
	LegacyClientsPair LegacyClients = "Pair"
	// LegacyClientsStream gives them the stream that they asked for.
	LegacyClientsStream LegacyClients = "Stream"
)

// Playback is about viewers.
//
// +kubebuilder:validation:XValidation:rule="!has(self.tokenSecretRef) || (has(self.auth) && self.auth != 'None')",message="tokenSecretRef does nothing with auth None: set auth to Token or JWT, or everybody can watch",fieldPath=".tokenSecretRef"
type Playback struct {
	// order is the order in which the player tries the ways to play. WebRTC has well under
	// a second of delay. HLS has more, and passes through firewalls and CDNs.
	// +optional
	// +listType=atomic
	// +kubebuilder:default={WebRTC,HLS}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="order must name each way to play once, such as [WebRTC, HLS]"
	Order []PlaybackMethod `json:"order,omitempty"`

	// externalURL is the base under which viewers reach the pair, without the app, such as
	// https://live.example.com or https://example.com/tv. It replaces the address that
	// exposure gives. Set externalURL for an Ingress, a Gateway or a CDN.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[A-Za-z0-9._~/-]*)?$') && !self.matches('\\\\.\\\\.|/\\\\.(/|$)') && (!self.contains('[') || isIP(self.substring(self.indexOf('[') + 1, self.indexOf(']'))))",message="externalURL must be an http:// or https:// URL without user, query and fragment, such as https://live.example.com"
	ExternalURL string `json:"externalURL,omitempty"`

	// tlsSecretName names a Secret of type kubernetes.io/tls for HTTPS and RTMPS.
	// cert-manager makes such Secrets. A renewed certificate is served without a restart.
	// Without tlsSecretName the media pods use a self-signed certificate, which browsers do
	// not trust.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="tlsSecretName must be the name of a Secret: lower case letters, digits, '-' and '.', starting and ending with a letter or digit"
	TLSSecretName string `json:"tlsSecretName,omitempty"`

	// auth says what a viewer must show.
	//
	// None lets everybody watch. Token asks for the pair's play token (`?token=`). JWT asks
	// for a JSON Web Token (`?token=`) signed with HS256 and the key jwtKey, with exp. Its aud
	// has streampair:NAMESPACE/NAME, or its sub is the pair's name or one of its stream ids.
	// +optional
	// +kubebuilder:default=None
	Auth PlaybackAuth `json:"auth,omitempty"`

	// tokenSecretRef names a Secret of your own with the key playToken (in the form of
	// publishToken) or jwtKey (at least 32 bytes). Use it if whoever reads this Secret must
	// not read the publish token. Without it the keys are read from the Secret of
	// publish.tokenSecretRef, or generated.
	// +optional
	TokenSecretRef *SecretReference `json:"tokenSecretRef,omitempty"`

	// replacedTokenGraceSeconds is how long, in seconds, a viewer may continue to watch
	// after the viewer's play token, or the key of the viewer's JSON Web Token, was
	// replaced. Then the media pods end the viewer's session. 0 to 86400. Default: the
	// session is not ended.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ReplacedTokenGraceSeconds *int32 `json:"replacedTokenGraceSeconds,omitempty"`

	// legacyClients is for clients that cannot name a backup, such as an HLS player
	// with a plain stream URL. Pair gives them the pair, with failover, under either stream
	// id. Stream gives them only the stream that they asked for.
	// +optional
	// +kubebuilder:default=Pair
	LegacyClients LegacyClients `json:"legacyClients,omitempty"`
}
