package control

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// RequireToken passes requests whose bearer token is right.
// All others are answered with 401 and counted in refused.
func RequireToken(h http.Handler, right func(token string) bool, refused prometheus.Counter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !right(signalling.BearerToken(r)) {
			refused.Inc()
			w.Header().Set("WWW-Authenticate", `Bearer realm="streampair"`)
			refuse(w, http.StatusUnauthorized, errors.New("the command port needs its bearer token"))
			return
		}
		defer admission.Hold(r.Context())() // the operator's connection is never closed for a newcomer
		h.ServeHTTP(w, r)
	})
}
