package v1alpha1

// Labels on every object and pod of a pair, beside those of app.kubernetes.io.
const (
	// LabelPair has the name of the StreamPair.
	LabelPair = "media.streampair.dev/pair"
	// LabelRole has "primary" or "backup", on the objects of one leg.
	LabelRole = "media.streampair.dev/role"
)

// Annotations.
const (
	// AnnotationConfigGeneration, on the manifest that a media pod is given, has the
	// generation of the StreamPair that it was made from. A media server keeps the one
	// with the higher generation, so that a file that lags takes back nothing.
	AnnotationConfigGeneration = "media.streampair.dev/config-generation"
	// AnnotationTokenGeneration, on the generated Secret, has the
	// spec.publish.tokenGeneration that it was made for.
	AnnotationTokenGeneration = "media.streampair.dev/token-generation" // #nosec G101 -- the name of an annotation
)

// Keys of Secrets: the generated one, those of spec.publish.tokenSecretRef and
// spec.playback.tokenSecretRef (the first three), and those of an ICE server.
const (
	SecretKeyPublishToken = "publishToken"
	SecretKeyPlayToken    = "playToken"
	SecretKeyJWTKey       = "jwtKey"

	// SecretKeyClusterToken is the bearer token of the command port, and of one media
	// pod with the other. SecretKeyControlCert and SecretKeyControlKey are the command
	// port's TLS certificate and key. All three are in the generated Secret only.
	SecretKeyClusterToken = "clusterToken"
	SecretKeyControlCert  = "control.crt"
	SecretKeyControlKey   = "control.key"

	SecretKeyICEUsername   = "username"
	SecretKeyICECredential = "credential"
)
