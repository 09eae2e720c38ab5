package relay

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peers"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/tcp"
)

const (
	// depth holds the access units of a stream while a reader's connection is busy:
	// some 9 s of a 60 fps stream with audio. Beyond that they are dropped up to the
	// next IDR.
	depth = 1024
	// maxBatch of them are sent before the reader's deadline is put off.
	maxBatch = 64
)

// relayHeader marks the requests of a peer: with another token than its own it is to be
// refused, and not to be taken for a player.
const relayHeader = "Streampair-Relay"

// ErrUnknownStream may be wrapped by HandlerConfig.Play for a stream that does not exist
// here and will not: the player gets 404 instead of 401.
var ErrUnknownStream = errors.New("unknown stream")

// HandlerConfig configures a Handler.
type HandlerConfig struct {
	// Registry has what is served; required.
	Registry *stream.Registry
	// Pair returns a declared pair, or nil.
	Pair func(app, primaryID, backupID string) *failover.Pair
	// IsToken says whether what a reader shows is the cluster token. It should take the
	// same time wherever the two differ.
	IsToken func(string) bool
	// Clear reports whether peers that show the token are served in clear; answers to them
	// end when over is closed. Default: they always are.
	Clear func() (allowed bool, over <-chan struct{})
	// Play says whether the token opens the stream to a player; an error's text is shown to
	// it, with 404 for an ErrUnknownStream and else 401. Default: there are no players.
	Play func(app, streamID, token string) error
	// Revoked returns a channel that is closed when a player who showed this token must go.
	// Default: nil, and nobody must.
	Revoked func(app, streamID, token string) <-chan struct{}
	// Door has the places of players; nil: there is one for each.
	Door *admission.Door
	// Full says whether there are as many viewers as the server accepts, besides these
	// players. Default: never.
	Full func(players int) bool
	// Alternate returns the base URL of another server that plays the same, to be told to
	// players who are refused because this one is full or about to end; empty: none is known.
	// Default: none.
	Alternate func() string
	// Logger; default none.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Handler serves a media server's own publications and pairs to its peers, and streams to
// players.
type Handler struct {
	cfg             HandlerConfig
	log             *slog.Logger
	leaving, closed chan struct{}
	leave, close    func()
	players         atomic.Int64
}

// NewHandler returns a Handler.
func NewHandler(cfg HandlerConfig) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string, string, string) <-chan struct{} { return nil }
	}
	if cfg.Full == nil {
		cfg.Full = func(int) bool { return false }
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	if cfg.Clear == nil {
		cfg.Clear = func() (bool, <-chan struct{}) { return true, nil }
	}
	h := &Handler{cfg: cfg, log: cfg.Logger, leaving: make(chan struct{}), closed: make(chan struct{})}
	h.leave = sync.OnceFunc(func() { close(h.leaving) })
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Drain tells peers that the server is about to end. Players, which cannot be told, come
// again when their answer ends, and find another server then: it ends now, and new ones are
// refused.
func (h *Handler) Drain() { h.leave() }

// Close ends all answers.
func (h *Handler) Close() { h.close() }

// Register mounts what everybody may ask for: players, and peers in clear.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/{file}", h.serveStream)
	mux.HandleFunc("GET /{app}/relay/{streamId}", func(w http.ResponseWriter, r *http.Request) {
		if over, ok := h.admitPeer(w, r); ok {
			h.servePair(w, r, over)
		}
	})
}

// RegisterPeers mounts what peers ask for. Whoever reaches mux must have proved to be one.
func (h *Handler) RegisterPeers(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/{file}", func(w http.ResponseWriter, r *http.Request) {
		if key, ok := streamOf(w, r); ok {
			// Without chunks a picture is one write. TLS tells where the answer ends.
			w.Header().Set("Transfer-Encoding", "identity")
			h.serveToPeer(w, r, key, nil)
		}
	})
	mux.HandleFunc("GET /{app}/relay/{streamId}", func(w http.ResponseWriter, r *http.Request) { h.servePair(w, r, nil) })
}

// isPeer says whether a request shows the cluster token.
func (h *Handler) isPeer(r *http.Request) bool {
	token := signalling.BearerToken(r)
	return token != "" && h.cfg.IsToken(token)
}

// admitPeer answers a request in clear for what only a peer may have, unless it is to be
// served, until over is closed.
func (h *Handler) admitPeer(w http.ResponseWriter, r *http.Request) (over <-chan struct{}, ok bool) {
	switch allowed, over := h.cfg.Clear(); {
	case !allowed:
		h.refuse(w, http.StatusForbidden, "peer_in_clear", peers.RefusedInClear)
	case !h.isPeer(r):
		h.refuse(w, http.StatusUnauthorized, "unauthorized", "the cluster token is missing or wrong")
	default:
		return over, true
	}
	return nil, false
}

func (h *Handler) refuse(w http.ResponseWriter, code int, reason, text string) {
	h.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, text, code)
}

// streamOf is the stream that a request is for; without one the request is answered.
func streamOf(w http.ResponseWriter, r *http.Request) (stream.Key, bool) {
	id, isFLV := strings.CutSuffix(r.PathValue("file"), ".flv")
	key := stream.Key{App: r.PathValue("app"), ID: id}
	if !isFLV || !key.Valid() {
		http.NotFound(w, r)
		return key, false
	}
	return key, true
}

func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request) {
	key, ok := streamOf(w, r)
	if !ok {
		return
	}
	allowed, _ := h.cfg.Clear()
	if h.cfg.Play != nil && r.Header.Get(relayHeader) == "" && (!allowed || !h.isPeer(r)) {
		h.servePlayer(w, r, key)
		return
	}
	if over, ok := h.admitPeer(w, r); ok {
		h.serveToPeer(w, r, key, over)
	}
}

// serveToPeer sends a stream to a peer, until over is closed.
func (h *Handler) serveToPeer(w http.ResponseWriter, r *http.Request, key stream.Key, over <-chan struct{}) {
	// The peer may lag by more than a stranger may: its limit is depth.
	tcp.FromContext(r.Context()).SetLimits(tcp.Limits{})
	h.serve(w, r, key, "relay", over, func(a *answer, s *stream.Stream) (feeder, error) { return newSender(a, s) })
}

// A feeder writes a stream to a reader.
type feeder interface {
	// begin sends what there is.
	begin() error
	// follow looks at what became of the stream, send takes an access unit of it, and beat
	// is called every heartbeat.
	follow() error
	send(*stream.AccessUnit) error
	beat() error
}

// serve sends a stream to a reader until it goes away or takes nothing, or until enough is
// closed. door names the kind of reader in metrics.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, key stream.Key, door string, enough <-chan struct{}, start func(*answer, *stream.Stream) (feeder, error)) {
	a := newAnswer(r.Context(), w, "video/x-flv")
	if r.Method == http.MethodHead {
		return
	}
	defer admission.Hold(r.Context())() // media goes there
	s := h.cfg.Registry.Stream(key)
	sub := s.Subscribe(depth)
	defer sub.Close()
	log := h.log.With("stream", key.String(), "remote", r.RemoteAddr)
	log.Debug("reader came")
	var out feeder
	err := a.sent(func() (err error) {
		if out, err = start(a, s); err != nil {
			return err
		}
		return out.begin()
	})
	if err == nil {
		err = h.feed(r, a, out, sub, enough)
	}
	if a.stalled(err) {
		h.cfg.Metrics.ReadersStalled.WithLabelValues(door).Inc()
		a.abandon(r)
	}
	log.Debug("reader left", "dropped", sub.Dropped(), "error", err)
}

func (h *Handler) feed(r *http.Request, a *answer, out feeder, sub *stream.Subscription, enough <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var act func() error
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-h.closed:
			return http.ErrServerClosed
		case <-enough:
			return http.ErrServerClosed
		case u := <-sub.C:
			act = func() error {
				if err := out.send(u); err != nil {
					return err
				}
				return sendNext(out, sub.C, maxBatch)
			}
		case <-sub.Changed:
			act = out.follow
			if n := len(sub.C); n > 0 { // what a publication sent before it ended still counts
				act = func() error {
					if err := sendNext(out, sub.C, n); err != nil {
						return err
					}
					return out.follow()
				}
			}
		case <-beat.C:
			act = out.beat
		}
		if err := a.sent(act); err != nil {
			return err
		}
	}
}

// sendNext sends what has come, up to n access units.
func sendNext(out feeder, c <-chan *stream.AccessUnit, n int) error {
	for range n {
		select {
		case u := <-c:
			if err := out.send(u); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// servePair sends how a pair stands here, whenever that changes, and as a heartbeat, until
// over is closed.
func (h *Handler) servePair(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
	pair := h.cfg.Pair(r.PathValue("app"), r.PathValue("streamId"), r.URL.Query().Get("backupStreamId"))
	if pair == nil {
		http.NotFound(w, r)
		return
	}
	a := newAnswer(r.Context(), w, "application/x-ndjson")
	if r.Method == http.MethodHead {
		return
	}
	defer admission.Hold(r.Context())()
	lines := json.NewEncoder(a)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	leaving := h.leaving
	for {
		here, _, changed := pair.Standing()
		here.Leaving = leaving == nil
		if a.sent(func() error { return lines.Encode(toWire(here, h.cfg.Registry.Epoch())) }) != nil {
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
