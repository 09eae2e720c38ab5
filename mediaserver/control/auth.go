package control

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// RequireToken lets only requests pass whose bearer token (RFC 6750 section 2.1) is the
// right one; the others get 401 and are counted.
func RequireToken(h http.Handler, right func(token string) bool, refused prometheus.Counter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || !right(strings.TrimSpace(token)) {
			refused.Inc()
			w.Header().Set("WWW-Authenticate", `Bearer realm="streampair"`)
			refuse(w, http.StatusUnauthorized, errors.New("the command port needs its bearer token"))
			return
		}
		h.ServeHTTP(w, r)
	})
}
