package control

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// RequireToken lets only requests pass whose bearer token is the right one; the others get 401 and are counted.
func RequireToken(h http.Handler, right func(token string) bool, refused prometheus.Counter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !right(signalling.BearerToken(r)) {
			refused.Inc()
			w.Header().Set("WWW-Authenticate", `Bearer realm="streampair"`)
			refuse(w, http.StatusUnauthorized, errors.New("the command port needs its bearer token"))
			return
		}
		defer admission.Hold(r.Context())() // the operator's connection makes room for nobody
		h.ServeHTTP(w, r)
	})
}
