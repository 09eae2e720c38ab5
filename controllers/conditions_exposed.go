package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// exposed: the addresses are known, and the playback URL can be opened.
func (w *statusWriter) exposed() verdict {
	addresses := w.plan.Addresses
	services := slices.DeleteFunc(slices.Clone(w.outcome.Conflicts), func(k ObjectKey) bool { return k.Kind != KindService })
	switch {
	case len(services) > 0:
		return no(v1alpha1.ReasonNameConflict, "%s: not an object of this pair.", keyList(services))
	case len(w.refused.Exposure) > 0:
		return no(v1alpha1.ReasonExposureNotAllowed, "%s: not allowed by the operator (--allowed-exposures); ClusterIP takes its place.",
			strings.Join(w.refused.Exposure, ", "))
	case len(addresses.Pending) > 0 && w.pair.Spec.Paused && usesNodeAddress(w.pair):
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case len(addresses.Pending) > 0:
		return no(v1alpha1.ReasonAddressPending, "%s", sentences(addresses.Pending))
	}
	if problem := w.certificateProblem(); problem != "" {
		return no(v1alpha1.ReasonInvalidTLSSecret, "%s", problem)
	}
	if addresses.ClusterOnly {
		return yes(v1alpha1.ReasonClusterOnly,
			"The playback URL can be opened inside the cluster only. Set spec.exposure or spec.playback.externalURL to let others in.")
	}
	if legs := legsWithoutMedia(w.pair); legs != "" {
		return yes(v1alpha1.ReasonExposed,
			"The playback URL can be opened. WebRTC media of the %s stays inside the cluster (spec.exposure.webrtc): viewers from outside get it by HLS only, if at all.", legs)
	}
	return yes(v1alpha1.ReasonExposed, "The playback URL can be opened.")
}

// legsWithoutMedia names the legs whose WebRTC media does not leave the cluster by anything
// that the spec tells of. A TURN server may bring it out.
func legsWithoutMedia(pair *v1alpha1.StreamPair) string {
	exposure := pair.Spec.Exposure.WebRTC
	if exposure.Type != v1alpha1.ExposureClusterIP {
		return ""
	}
	for _, server := range pair.Spec.MediaServer.ICEServers {
		if slices.ContainsFunc(server.URLs, func(url string) bool { return strings.HasPrefix(url, "turn") }) {
			return ""
		}
	}
	var legs []string
	for _, role := range Roles() {
		if len(legAddresses(exposure.ExternalAddresses, role)) == 0 {
			legs = append(legs, LegName(role))
		}
	}
	return strings.Join(legs, " and of the ")
}

// certificateProblem says what is wrong with the certificate of spec.playback.tlsSecretName,
// by what the pods serve; the operator does not read the Secret.
func (w *statusWriter) certificateProblem() string {
	name := w.pair.Spec.Playback.TLSSecretName
	if name == "" || w.pair.Spec.Paused {
		return ""
	}
	for _, v := range w.legs.each() {
		if v.status == nil || v.status.TLS == nil {
			continue
		}
		served := v.status.TLS
		switch {
		case served.Error != "":
			return fmt.Sprintf("The certificate of Secret %s cannot be used: %s.", name, strings.TrimSuffix(served.Error, "."))
		case !served.Present || served.SelfSigned:
			return fmt.Sprintf("Secret %s has no certificate (tls.crt, tls.key), or has not reached the media pods yet.", name)
		case served.NotAfter == nil:
		case !w.now.Before(*served.NotAfter):
			return fmt.Sprintf("The certificate of Secret %s expired at %s.", name, served.NotAfter.UTC().Format(time.RFC3339))
		default:
			w.changesIn(served.NotAfter.Sub(w.now))
		}
	}
	return ""
}
