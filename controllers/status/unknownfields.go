package status

import (
	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// unknownFields returns the paths of the pair's set fields
// that a running media pod of an older version ignores.
func unknownFields(pair *v1alpha1.StreamPair, pod *control.Status) []string {
	if pod.UnknownFields != nil {
		return pod.UnknownFields
	}
	// A pod older than 0.2.0 does not report what it ignores.
	// These are the fields that were new in version 0.2.0.
	var unknown []string
	for _, field := range []struct {
		path  string
		isSet bool
	}{
		{"spec.exposure.http.trustedProxies", len(pair.Spec.Exposure.HTTP.TrustedProxies) > 0},
		{"spec.exposure.srt", pair.Spec.Exposure.SRT != nil},
		{"spec.failover.content", pair.Spec.Failover.Content != nil},
		{"spec.failover.maxJitterMilliseconds", pair.Spec.Failover.MaxJitterMilliseconds != nil},
		{"spec.playback.allowedOrigins", len(pair.Spec.Playback.AllowedOrigins) > 0},
		{"spec.playback.hls", pair.Spec.Playback.HLS != nil},
		{"spec.playback.endSessionsAtExpiry", pair.Spec.Playback.EndSessionsAtExpiry},
		{"spec.playback.jwks", pair.Spec.Playback.JWKS != nil},
		{"spec.publish.jwks", pair.Spec.Publish.JWKS != nil},
		{"spec.playback.replacedTokenGraceSeconds", pair.Spec.Playback.ReplacedTokenGraceSeconds != nil},
		{"spec.publish.srtPassphraseSecretRef", pair.Spec.Publish.SRTPassphraseSecretRef != nil},
		{"spec.publish.replacedTokenGraceSeconds", pair.Spec.Publish.ReplacedTokenGraceSeconds != nil},
	} {
		if field.isSet {
			unknown = append(unknown, field.path)
		}
	}
	return unknown
}
