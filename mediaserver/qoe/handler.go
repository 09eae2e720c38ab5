package qoe

import (
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
)

const (
	// ContentType is the type of a report.
	ContentType = "application/cmcd"
	// Interval is the time between two reports of a player.
	Interval = 10 * time.Second

	// A network may send so many reports a second, and a burst of them; all together may send more.
	networkRate, networkBurst = 5, 50
	allRate, allBurst         = 200, 400
)

// Share returns which share of the players should report while there are so many viewers by WebRTC.
// So these send some 20 reports a second at most. Players of HLS are not counted.
func Share(viewers int) float64 {
	const enough = 200
	return min(1, enough/float64(max(viewers, 1)))
}

// Config says what a Handler asks.
type Config struct {
	// Authorize checks whether the token lets a viewer play. Its error becomes a
	// signalling.RefuseViewer. Required.
	Authorize func(app, streamID, backupID, token string) error
	// Pair returns the name of a pair, and the leg that is on air: Primary, Backup or empty. ok is
	// false if nobody plays the pair here. Required.
	Pair func(app, streamID, backupID string) (name, leg string, ok bool)
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Handler takes reports. It is safe for concurrent use.
type Handler struct {
	cfg   Config
	rates *admission.RateLimiter
}

// NewHandler returns a Handler.
func NewHandler(cfg Config) *Handler {
	return &Handler{cfg: cfg, rates: admission.NewRateLimiter(networkRate, networkBurst, allRate, allBurst)}
}

// Register mounts the resource:
//
//	POST /{app}/qoe?name=ID[&backupStreamId=ID][&token=TOKEN]    a report
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /{app}/qoe", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*") // players may be in pages of other sites; no cookie is used
		header.Set("Cache-Control", "no-store")
		if refusal := h.serve(w, r); refusal != nil {
			h.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(refusal.Reason).Inc()
			refusal.Write(w, "")
		}
	})
	mux.HandleFunc("OPTIONS /{app}/qoe", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		signalling.Preflight(w, "OPTIONS, POST")
	})
}

// serve takes a report, or returns why it does not.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) *signalling.Refusal {
	if !h.rates.Allow(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), time.Now()) {
		refusal := signalling.Refuse(http.StatusTooManyRequests, "qoe_rate", "Too many reports: send one in 10 seconds.")
		refusal.RetryAfter = int(Interval / time.Second)
		return refusal
	}
	app, query := r.PathValue("app"), r.URL.Query()
	streamID, backupID := query.Get("name"), query.Get("backupStreamId")
	if err := h.cfg.Authorize(app, streamID, backupID, signalling.Token(r)); err != nil {
		return signalling.RefuseViewer(err)
	}
	body, refusal := signalling.ReadBody(w, r, ContentType, MaxBytes)
	if refusal != nil {
		return refusal
	}
	report, err := Parse(body)
	if err != nil {
		return signalling.Refuse(http.StatusBadRequest, "qoe_malformed", "The report cannot be read: %v.", err)
	}
	if name, leg, ok := h.cfg.Pair(app, streamID, backupID); ok {
		h.count(name, leg, report)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// count adds a report to the metrics.
func (h *Handler) count(pair, leg string, r Report) {
	way := "webrtc"
	if r.HLS {
		way = "hls"
	}
	m := h.cfg.Metrics
	m.ViewerReports.WithLabelValues(pair, leg, way).Inc()
	m.ViewerStalls.WithLabelValues(pair, leg, way).Add(float64(r.Stalls))
	m.ViewerStalledSeconds.WithLabelValues(pair, leg, way).Add(r.Stalled.Seconds())
	for _, join := range r.Joins {
		m.ViewerJoinSeconds.WithLabelValues(pair, leg, way).Observe(join.Seconds())
	}
	for _, latency := range r.Latencies {
		m.ViewerLatencySeconds.WithLabelValues(pair, leg, way).Observe(latency.Seconds())
	}
	m.ViewerPacketsLost.WithLabelValues(pair, leg).Add(float64(r.Lost))
	m.ViewerPacketsReceived.WithLabelValues(pair, leg).Add(float64(r.Received))
}
