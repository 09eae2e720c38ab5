package v1alpha1

// An Effect is where a change of a field of the spec takes effect.
type Effect string

// The values of Effect.
const (
	// EffectRunning changes are taken over by the media pods as they run.
	EffectRunning Effect = "Running media pods take a change over, without a restart."
	// EffectReplace changes are part of the pod template.
	EffectReplace Effect = "A change replaces the media pods, one leg after the other. Viewers keep the other leg."
	// EffectOperator changes are read by the operator alone.
	EffectOperator Effect = "The operator carries a change out, in Services and other objects. Running media pods stay as they are; `paused` ends them."
)

// Effects returns the effect of a change of each field, by the path of the field below spec. A
// path stands for all fields below it that have no entry of their own.
func Effects() map[string]Effect {
	return map[string]Effect{
		"app":              EffectReplace,
		"primary.streamID": EffectReplace,
		"backup.streamID":  EffectReplace,

		"failover": EffectRunning,

		"playback":                EffectRunning,
		"playback.tokenSecretRef": EffectReplace,
		"playback.jwks.secretRef": EffectReplace,
		"playback.tlsSecretName":  EffectReplace,
		"playback.externalURL":    EffectOperator,

		"publish":                EffectRunning,
		"publish.tokenSecretRef": EffectReplace,
		"publish.jwks.secretRef": EffectReplace,

		"publish.srtPassphraseSecretRef": EffectReplace,

		"exposure":                     EffectOperator,
		"exposure.http.trustedProxies": EffectRunning,
		"exposure.srt":                 EffectReplace, // where it was not set
		"exposure.webrtc.type":         EffectReplace,
		"exposure.webrtc.hostPorts":    EffectReplace,

		"mediaServer":                                EffectReplace,
		"mediaServer.updatePolicy":                   EffectOperator,
		"mediaServer.egress":                         EffectOperator,
		"mediaServer.iceServers.urls":                EffectRunning,
		"mediaServer.iceServers.credentialSecretRef": EffectReplace,

		"objectLabels":  EffectOperator,
		"notifications": EffectOperator,
		"paused":        EffectOperator,
	}
}
