package peer

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
)

// StandingHandlerConfig configures a StandingHandler.
type StandingHandlerConfig struct {
	// Pair returns a declared pair, or nil. Required.
	Pair func(failover.PairKey) *failover.Pair
	// Epoch is the zero point of this server's media clock.
	Epoch time.Time
	// Clear admits the peers that ask in clear.
	Clear ClearAccess
}

// A StandingHandler tells peers how the pairs stand here:
//
//	GET /{app}/relay/{streamId}?backupStreamId=    a line of JSON each time that changes, and every Heartbeat
type StandingHandler struct {
	cfg             StandingHandlerConfig
	leaving, closed chan struct{}
	leave, close    func()
}

// NewStandingHandler returns a StandingHandler.
func NewStandingHandler(cfg StandingHandlerConfig) *StandingHandler {
	h := &StandingHandler{cfg: cfg, leaving: make(chan struct{}), closed: make(chan struct{})}
	h.leave = sync.OnceFunc(func() { close(h.leaving) })
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Drain tells peers that the server is about to end.
func (h *StandingHandler) Drain() { h.leave() }

// Close ends all answers.
func (h *StandingHandler) Close() { h.close() }

// Register mounts the resource for peers that ask in clear.
func (h *StandingHandler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/relay/{streamId}", func(w http.ResponseWriter, r *http.Request) {
		if over, ok := h.cfg.Clear.Admit(w, r); ok {
			h.serve(w, r, over)
		}
	})
}

// RegisterPeers mounts the resource for peers. Whoever reaches mux must have proved to be a peer.
func (h *StandingHandler) RegisterPeers(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/relay/{streamId}", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, nil) })
}

// serve sends how a pair stands here, whenever that changes and every Heartbeat, until over is
// closed.
func (h *StandingHandler) serve(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
	pair := h.cfg.Pair(failover.PairKey{
		App: r.PathValue("app"), Primary: r.PathValue("streamId"), Backup: r.URL.Query().Get("backupStreamId"),
	})
	if pair == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold it back
	if r.Method == http.MethodHead {
		return
	}
	defer admission.Hold(r.Context())()
	lines, rc := json.NewEncoder(w), http.NewResponseController(w)
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	leaving := h.leaving
	for {
		here, _, changed := pair.Standing()
		here.Leaving = leaving == nil
		if rc.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil || lines.Encode(toWire(here, h.cfg.Epoch)) != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-h.closed:
			return
		case <-over:
			return
		case <-pair.Done():
			return
		case <-leaving:
			leaving = nil
		case <-changed:
		case <-beat.C:
		}
	}
}
