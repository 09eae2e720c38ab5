package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/orphans"
)

// exposed returns the condition Exposed: the addresses
// are known and the playback URL can be opened.
func (w *statusWriter) exposed() verdict {
	found := w.addresses
	services := slices.DeleteFunc(slices.Clone(w.applied.Conflicts), func(c orphans.Conflict) bool { return c.Kind != objects.KindService })
	switch {
	case len(services) > 0:
		return no(v1alpha1.ReasonNameConflict, "%s: not an object of this pair.", conflictText(services))
	case len(w.refused.Exposure) > 0:
		return no(v1alpha1.ReasonExposureNotAllowed, "The operator does not allow %s (--allowed-exposures). ClusterIP takes its place.",
			strings.Join(w.refused.Exposure, ", "))
	case len(found.Pending) > 0 && w.pair.Spec.Paused && addresses.UsesNodeAddress(w.pair):
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case len(found.Pending) > 0:
		return no(v1alpha1.ReasonAddressPending, "%s", strings.TrimSpace(sentences(found.Pending)+" "+strings.Join(found.Advice, " ")))
	}
	if problem := w.certificateProblem(); problem != "" {
		return no(v1alpha1.ReasonInvalidTLSSecret, "%s", problem)
	}
	if found.ClusterOnly {
		return yes(v1alpha1.ReasonClusterOnly,
			"The playback URL can be opened inside the cluster only. Set spec.exposure or spec.playback.externalURL to let others in.")
	}
	reason, outside := v1alpha1.ReasonExposed, w.unreachableOutside()
	if outside != "" && w.pair.Spec.Playback.ExternalURL != "" {
		reason = v1alpha1.ReasonMediaClusterOnly
	}
	return yes(reason, "%s", joined("The playback URL can be opened.", outside, w.notes()))
}

// joined joins sentences with spaces, and leaves out empty ones.
func joined(sentences ...string) string {
	return strings.Join(slices.DeleteFunc(sentences, func(s string) bool { return s == "" }), " ")
}

// unreachableOutside returns what viewers outside the cluster cannot reach
// although they can open the playback URL. If the network routes to pods
// such viewers reach the media too. The operator cannot find that out.
func (w *statusWriter) unreachableOutside() string {
	legs := legsWithoutMedia(w.pair)
	if legs == "" || w.addresses.ClusterOnly {
		return ""
	}
	return fmt.Sprintf("WebRTC media of the %s stays inside the cluster. Viewers outside get no picture from there. "+
		"Set spec.exposure.webrtc, or a TURN server in spec.mediaServer.iceServers. Neither is needed if viewers reach the pods' own addresses.", legs)
}

// notes returns what does not work although viewers are served; empty: nothing.
func (w *statusWriter) notes() string {
	if len(w.addresses.Notes) == 0 {
		return ""
	}
	return sentences(w.addresses.Notes)
}

// legsWithoutMedia returns the legs whose WebRTC media the spec does not bring out of
// the cluster. It returns none if there is a TURN server, which may bring the media out.
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
	for _, role := range objects.Roles() {
		if len(objects.LegAddresses(exposure.ExternalAddresses, role)) == 0 {
			legs = append(legs, objects.LegName(role))
		}
	}
	return strings.Join(legs, " and of the ")
}

// certificateProblem returns what is wrong with the certificate of spec.playback.tlsSecretName.
// It judges by what the pods serve, because the operator does not read that Secret.
func (w *statusWriter) certificateProblem() string {
	name := w.pair.Spec.Playback.TLSSecretName
	if name == "" || w.pair.Spec.Paused {
		return ""
	}
	for _, v := range w.legs.Each() {
		if v.Status == nil || v.Status.TLS == nil {
			continue
		}
		served := v.Status.TLS
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
