package control

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewProbe returns the handler of the probe port: /livez, /readyz and /metrics.
// It shows no secrets. ready returns why publishers and viewers cannot be served;
// nil: they can be. A full server is ready, because it serves its viewers.
func NewProbe(gatherer prometheus.Gatherer, ready func() error) http.Handler {
	mux := newHealth(ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}

// NewHealth returns the handler of the health port, which has only /livez and /readyz.
func NewHealth(ready func() error) http.Handler { return newHealth(ready) }

func newHealth(ready func() error) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}
