package v1alpha1

// Labels on every object and pod of a pair, beside those of app.kubernetes.io.
const (
	// LabelPair is the name of the StreamPair.
	LabelPair = "media.streampair.dev/pair"
	// LabelRole is "primary" or "backup", on the objects of one leg.
	LabelRole = "media.streampair.dev/role"
)

// Annotations.
const (
	// AnnotationConfigGeneration (on the manifest that a media pod is given): the
	// generation of the StreamPair that it was made from. A media server keeps the one
	// with the higher generation, so that a file that lags takes back nothing.
	AnnotationConfigGeneration = "media.streampair.dev/config-generation"
	// AnnotationTokenGeneration (on the generated Secret): the
	// spec.publish.tokenGeneration that it was made for.
	AnnotationTokenGeneration = "media.streampair.dev/token-generation" // #nosec G101 -- the name of an annotation
)

// Keys of Secrets.
const (
	// SecretKeyPublishToken is what an encoder must show: 8 to 256 letters, digits, '-',
	// '.', '_' and '~'. In the generated Secret, or in that of spec.publish.tokenSecretRef.
	SecretKeyPublishToken = "publishToken"
	// SecretKeyPlayToken is what a viewer must show with spec.playback.auth Token, of the
	// same form. In the generated Secret, or in that of spec.playback.tokenSecretRef or
	// spec.publish.tokenSecretRef.
	SecretKeyPlayToken = "playToken"
	// SecretKeyJWTKey signs what a viewer must show with spec.playback.auth JWT, at least
	// 32 bytes. In the same Secret as playToken.
	SecretKeyJWTKey = "jwtKey"
	// SecretKeyJWKS is a JSON Web Key Set, in the Secret of spec.playback.jwks.secretRef or
	// spec.publish.jwks.secretRef.
	SecretKeyJWKS = "jwks"
	// SecretKeySRTPassphrase encrypts SRT, 10 to 79 characters. In the Secret of
	// spec.publish.srtPassphraseSecretRef.
	SecretKeySRTPassphrase = "srtPassphrase"
	// SecretKeyWebhookKey signs what is sent to a receiver of events: whsec_ and the base64 of
	// 24 to 64 bytes. In the Secret of the receiver's keySecretRef.
	SecretKeyWebhookKey = "webhookKey"
	// SecretKeyWebhookURL is the URL of a receiver of events. In the Secret of its urlSecretRef.
	SecretKeyWebhookURL = "webhookURL"
	// SecretKeyClusterToken is the bearer token of the command port, and of one media pod
	// with the other. In the generated Secret only.
	SecretKeyClusterToken = "clusterToken"
	// SecretKeyControlCert and SecretKeyControlKey are the command port's TLS certificate
	// and key. In the generated Secret only.
	SecretKeyControlCert = "control.crt"
	SecretKeyControlKey  = "control.key"
	// SecretKeyICEUsername and SecretKeyICECredential are the user's name and password for
	// an ICE server, in the Secret of its credentialSecretRef.
	SecretKeyICEUsername   = "username"
	SecretKeyICECredential = "credential"
)
