package relay

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// depth holds the access units of a stream while a reader's connection is busy:
	// some 9 s of a 60 fps stream with audio. Beyond that they are dropped up to the
	// next IDR.
	depth = 1024
	// maxBatch of them are sent before the reader's deadline is put off.
	maxBatch = 64
)

// HandlerConfig configures a Handler.
type HandlerConfig struct {
	// Registry has what is served; required.
	Registry *stream.Registry
	// Pair returns a declared pair, or nil.
	Pair func(app, primaryID, backupID string) *failover.Pair
	// IsToken says whether what a reader shows is the cluster token. It should take the
	// same time wherever the two differ.
	IsToken func(string) bool
	// Logger; default none.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Handler serves a media server's own publications and pairs to its peer.
type Handler struct {
	cfg    HandlerConfig
	log    *slog.Logger
	closed chan struct{}
	close  func()
}

// NewHandler returns a Handler.
func NewHandler(cfg HandlerConfig) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{cfg: cfg, log: cfg.Logger, closed: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Close ends all answers.
func (h *Handler) Close() { h.close() }

// Register mounts the handler.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/{file}", h.serveStream)
	mux.HandleFunc("GET /{app}/relay/{streamId}", h.servePair)
}

// authorized lets the peer in.
func (h *Handler) authorized(w http.ResponseWriter, r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && h.cfg.IsToken(token) {
		return true
	}
	h.cfg.Metrics.HTTPRequestRefusal.WithLabelValues("unauthorized").Inc()
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "the cluster token is missing or wrong", http.StatusUnauthorized)
	return false
}

// An answer is a response without an end, on which a reader that takes nothing is
// given up.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newAnswer(w http.ResponseWriter, contentType string) answer {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold it back
	return answer{w, http.NewResponseController(w)}
}

// within sends what write writes, at once.
func (a answer) within(write func() error) error {
	if err := a.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return a.rc.Flush()
}

func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request) {
	id, isFLV := strings.CutSuffix(r.PathValue("file"), ".flv")
	key := stream.Key{App: r.PathValue("app"), ID: id}
	if !isFLV || !key.Valid() {
		http.NotFound(w, r)
		return
	}
	if !h.authorized(w, r) {
		return
	}
	a := newAnswer(w, "video/x-flv")
	if r.Method == http.MethodHead {
		return
	}
	s := h.cfg.Registry.Stream(key)
	sub := s.Subscribe(depth)
	defer sub.Close()
	log := h.log.With("stream", key.String(), "remote", r.RemoteAddr)
	log.Debug("relay reader came")
	err := h.stream(r, a, s, sub)
	log.Debug("relay reader left", "dropped", sub.Dropped(), "error", err)
}

// stream sends a stream until the reader goes away or takes nothing.
func (h *Handler) stream(r *http.Request, a answer, s *stream.Stream, sub *stream.Subscription) error {
	var out *sender
	err := a.within(func() (err error) {
		if out, err = newSender(a.w, s); err != nil {
			return err
		}
		return out.begin()
	})
	if err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var act func() error
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-h.closed:
			return http.ErrServerClosed
		case u := <-sub.C:
			act = func() error {
				if err := out.send(u); err != nil {
					return err
				}
				return out.sendNext(sub.C, maxBatch)
			}
		case <-sub.Changed:
			act = out.follow
			if n := len(sub.C); n > 0 { // what a publication sent before it ended still counts
				act = func() error {
					if err := out.sendNext(sub.C, n); err != nil {
						return err
					}
					return out.follow()
				}
			}
		case <-beat.C:
			act = func() error { return out.note(noteAlive) }
		}
		if err := a.within(act); err != nil {
			return err
		}
	}
}

// sendNext sends what has come, up to n access units.
func (s *sender) sendNext(c <-chan *stream.AccessUnit, n int) error {
	for range n {
		select {
		case u := <-c:
			if err := s.send(u); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// servePair sends how a pair stands here, whenever that changes, and as a heartbeat.
func (h *Handler) servePair(w http.ResponseWriter, r *http.Request) {
	if !h.authorized(w, r) {
		return
	}
	pair := h.cfg.Pair(r.PathValue("app"), r.PathValue("streamId"), r.URL.Query().Get("backupStreamId"))
	if pair == nil {
		http.NotFound(w, r)
		return
	}
	a := newAnswer(w, "application/x-ndjson")
	if r.Method == http.MethodHead {
		return
	}
	lines := json.NewEncoder(a.w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		here, _, changed := pair.Standing()
		if a.within(func() error { return lines.Encode(toWire(here, h.cfg.Registry.Epoch())) }) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-h.closed:
			return
		case <-pair.Done():
			return
		case <-changed:
		case <-beat.C:
		}
	}
}
