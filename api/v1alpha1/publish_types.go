package v1alpha1

// PublishAuth says what an encoder must show.
//
// +kubebuilder:validation:Enum=Token;None
type PublishAuth string

// The values of Publish.Auth.
const (
	// PublishToken asks for the pair's publish token.
	PublishToken PublishAuth = "Token"
	// PublishNone lets in whoever reaches the port.
	PublishNone PublishAuth = "None"
)

// Publish is about encoders.
//
// +kubebuilder:validation:XValidation:rule="!has(self.jwks) || !has(self.auth) || self.auth != 'None'",message="jwks does nothing with auth None: set auth to Token, or everybody can publish",fieldPath=".jwks"
type Publish struct {
	// auth says what an encoder must show.
	//
	// Token asks for the pair's publish token: `?token=` after the stream id in RTMP (with
	// OBS: after the stream key), the bearer token of WHIP. The newest encoder with the
	// token takes over a stream. `kubectl streampair keys` prints the URLs with tokens.
	//
	// None lets in whoever reaches the port; an encoder that is live can then not be
	// replaced, only one that is silent.
	// +optional
	// +kubebuilder:default=Token
	Auth PublishAuth `json:"auth,omitempty"`

	// tokenSecretRef names a Secret of your own with the key publishToken (8 to 256
	// letters, digits, '-', '.', '_' and '~'), and playToken or jwtKey where playback.auth
	// needs them. Without it the operator generates one, named after the pair with -keys
	// at the end. The media pods take over a changed token without a restart. The changed
	// token holds for encoders that come; those that publish go on, unless
	// replacedTokenGraceSeconds is set.
	// +optional
	TokenSecretRef *SecretReference `json:"tokenSecretRef,omitempty"`

	// jwks says who signs JSON Web Tokens that encoders may show in place of the publish
	// token. Such a token has exp, and publish among the words of scope (RFC 8693 section
	// 4.2). Its aud has streampair:NAMESPACE/NAME, or its sub is the pair's name or one of
	// its stream ids.
	// +optional
	JWKS *JWKS `json:"jwks,omitempty"`

	// srtPassphraseSecretRef names a Secret with the key srtPassphrase, 10 to 79 characters.
	// Encoders that publish by SRT must then encrypt with it, and need no token: SRT sends
	// tokens in clear. The media pods take over a changed passphrase without a restart, for
	// encoders that come. Without it SRT is not encrypted.
	// +optional
	SRTPassphraseSecretRef *SecretReference `json:"srtPassphraseSecretRef,omitempty"`

	// tokenGeneration: raise it by one to have the generated tokens made anew, for instance
	// when one got into the wrong hands. It does nothing to a Secret of your own, and leaves
	// jwtKey as it is, as what signs with it would have to follow: to renew that, delete the
	// key from the generated Secret.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TokenGeneration int64 `json:"tokenGeneration,omitempty"`

	// replacedTokenGraceSeconds is how long, in seconds, an encoder goes on publishing after
	// the token that it came in with was replaced. Then the media pods end it, and it has to
	// come back with the new one. The two legs are not ended within the same minute, so
	// that one of them stays on air. 0 to 86400. Default: encoders that publish go on.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ReplacedTokenGraceSeconds *int32 `json:"replacedTokenGraceSeconds,omitempty"`
}
