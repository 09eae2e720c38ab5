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

// HLSMode says when the playlists of a pair are made.
//
// +kubebuilder:validation:Enum=OnDemand;Always;Off
type HLSMode string

// The values of HLS.Mode.
const (
	// HLSOnDemand makes a playlist while somebody asks for it.
	HLSOnDemand HLSMode = "OnDemand"
	// HLSAlways makes the pair's playlist all the time.
	HLSAlways HLSMode = "Always"
	// HLSOff makes no playlist.
	HLSOff HLSMode = "Off"
)

// HLS is about HLS and low-latency HLS.
//
// +kubebuilder:validation:XValidation:rule="!has(self.partMilliseconds) || self.partMilliseconds <= 1000 * (has(self.segmentSeconds) ? self.segmentSeconds : 2)",message="a part must not be longer than a segment: lower partMilliseconds, or raise segmentSeconds",fieldPath=".partMilliseconds"
type HLS struct {
	// mode says when playlists are made. OnDemand makes a playlist while somebody asks for
	// it: the first viewer waits until a segment is there. Always makes the pair's playlist
	// all the time, so that nobody waits, and a CDN can begin at any time. Off serves no HLS:
	// write "Off" in quotes, because YAML takes it for a boolean.
	// +optional
	// +kubebuilder:default=OnDemand
	Mode HLSMode `json:"mode,omitempty"`

	// segmentSeconds is the shortest duration of a segment, in seconds, 1 to 10. A segment
	// ends at the first IDR after that. A change counts for playlists that begin later.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	SegmentSeconds int32 `json:"segmentSeconds,omitempty"`

	// partMilliseconds is the duration of a part, in milliseconds, 100 to 2000, rounded up to
	// whole pictures. Players of low-latency HLS are some three parts behind. A change counts
	// for playlists that begin later.
	// +optional
	// +kubebuilder:default=250
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=2000
	PartMilliseconds int32 `json:"partMilliseconds,omitempty"`

	// windowSeconds is how far a playlist goes back, in seconds, 1 to 3600, and at least six
	// target durations. Each media pod keeps that much of the stream in memory, for each
	// playlist that is made, and shortens the window when its memory is short.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	WindowSeconds int32 `json:"windowSeconds,omitempty"`
}

// Playback is about viewers.
//
// +kubebuilder:validation:XValidation:rule="!has(self.tokenSecretRef) || (has(self.auth) && self.auth != 'None')",message="tokenSecretRef does nothing with auth None: set auth to Token or JWT, or everybody can watch",fieldPath=".tokenSecretRef"
// +kubebuilder:validation:XValidation:rule="!has(self.jwks) || (has(self.auth) && self.auth == 'JWT')",message="jwks does nothing without auth JWT: set auth to JWT",fieldPath=".jwks"
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
	// for a JSON Web Token (`?token=`) with exp, signed with HS256 and the key jwtKey, or with
	// a key of jwks. Its aud has streampair:NAMESPACE/NAME, or its sub is the pair's name or
	// one of its stream ids.
	// +optional
	// +kubebuilder:default=None
	Auth PlaybackAuth `json:"auth,omitempty"`

	// tokenSecretRef names a Secret of your own with the key playToken (in the form of
	// publishToken) or jwtKey (at least 32 bytes). Use it if whoever reads this Secret must
	// not read the publish token. Without it the keys are read from the Secret of
	// publish.tokenSecretRef, or generated.
	// +optional
	TokenSecretRef *SecretReference `json:"tokenSecretRef,omitempty"`

	// jwks says who signs the viewers' JSON Web Tokens, in place of jwtKey.
	// +optional
	JWKS *JWKS `json:"jwks,omitempty"`

	// endSessionsAtExpiry ends the session of a viewer when the viewer's JSON Web Token
	// expires. The player can renew its token, and then plays on without a break. Default:
	// a token is only checked when a session opens.
	// +optional
	EndSessionsAtExpiry bool `json:"endSessionsAtExpiry,omitempty"`

	// replacedTokenGraceSeconds is how long, in seconds, a viewer may continue to watch
	// after the viewer's play token, or the key of the viewer's JSON Web Token, was
	// replaced. Then the media pods end the viewer's session. 0 to 86400. Default: the
	// session is not ended.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ReplacedTokenGraceSeconds *int32 `json:"replacedTokenGraceSeconds,omitempty"`

	// hls is about HLS and low-latency HLS. Default: playlists on demand, segments of 2 s,
	// parts of 250 ms, and a window of 30 s.
	// +optional
	HLS *HLS `json:"hls,omitempty"`

	// allowedOrigins are the origins of web pages that may play by HLS with the cookie
	// streampair_token, such as https://www.example.com, at most 32. A page that shows its
	// token in the query needs no entry.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=300
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:[1-9][0-9]{0,4})?$')",message="each origin must be as a browser sends it: http:// or https://, a host, and no path, such as https://www.example.com"
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`

	// legacyClients is for clients that cannot name a backup, such as an HLS player
	// with a plain stream URL. Pair gives them the pair, with failover, under either stream
	// id. Stream gives them only the stream that they asked for.
	// +optional
	// +kubebuilder:default=Pair
	LegacyClients LegacyClients `json:"legacyClients,omitempty"`
}
