package control

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRequireToken(t *testing.T) {
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
	h := RequireToken(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}), func(token string) bool { return token == "right" }, refused)
	for header, want := range map[string]int{
		"Bearer right": 204, "bearer  right ": 204,
		"": 401, "Bearer": 401, "Bearer ": 401, "Bearer wrong": 401, "Basic right": 401, "right": 401,
	} {
		r, w := httptest.NewRequest("PUT", "/v1/config", nil), httptest.NewRecorder()
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", header, w.Code, want)
		}
		if want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: no WWW-Authenticate", header)
		}
	}
	if got := testutil.ToFloat64(refused); got != 6 {
		t.Errorf("%v refusals were counted, want 6", got)
	}
}
