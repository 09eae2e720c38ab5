package relay

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/tcp"
)

const (
	// depth is how many access units of a stream are queued while a reader's connection is busy:
	// some 9 s of a 60 fps stream with audio. Beyond that, access units are dropped up to the next
	// IDR.
	depth = 1024
	// maxBatch is how many access units are written before they are flushed and the reader gets
	// another writeTimeout.
	maxBatch = 64
)

// HandlerConfig configures a Handler.
type HandlerConfig struct {
	// Registry has the streams to serve; required.
	Registry *stream.Registry
	// Clear admits the peers that ask in clear.
	Clear peer.ClearAccess
	// Play returns nil if the token opens the stream to a player. Otherwise the error's text is
	// shown to the player, with 404 if stream.IsUnknown and otherwise 401. Default: no players
	// are served.
	Play func(app, streamID, token string) error
	// Validity returns when a player with this token must go: when revoked is closed, and at
	// until. Zero values mean never. Default: never.
	Validity func(app, streamID, token string) (revoked <-chan struct{}, until time.Time)
	// Door limits the places of players; nil: there is no limit.
	Door *admission.Door
	// Full reports whether the server has as many viewers as it accepts. Its argument is the number
	// of players here, which count as viewers too. Default: it never has.
	Full func(players int) bool
	// Alternate returns the base URL of another server that plays the same pairs. Players are told
	// it if they are refused because this server is full or about to end; empty: none is known.
	// Default: none.
	Alternate func() string
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Handler serves a media server's own publications to its peers, and streams to players.
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
	if cfg.Validity == nil {
		cfg.Validity = func(string, string, string) (<-chan struct{}, time.Time) { return nil, time.Time{} }
	}
	if cfg.Full == nil {
		cfg.Full = func(int) bool { return false }
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	h := &Handler{cfg: cfg, log: cfg.Logger, leaving: make(chan struct{}), closed: make(chan struct{})}
	h.leave = sync.OnceFunc(func() { close(h.leaving) })
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// Drain tells peers that the server is about to end. Players cannot be told, but they connect again
// when their answer ends, and find another server then. So their answers end now, and new players
// are refused.
func (h *Handler) Drain() { h.leave() }

// Close ends all answers.
func (h *Handler) Close() { h.close() }

// Register mounts the streams that everybody may ask for: for players, and for peers in clear.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/{file}", h.serveStream)
}

// RegisterPeers mounts the streams for peers. Whoever reaches mux must have proved to be a peer.
func (h *Handler) RegisterPeers(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/{file}", func(w http.ResponseWriter, r *http.Request) {
		if key, ok := streamOf(w, r); ok {
			// Without chunked encoding a picture is one write. TLS tells where the answer ends.
			w.Header().Set("Transfer-Encoding", "identity")
			h.serveToPeer(w, r, key, nil)
		}
	})
}

func (h *Handler) refuse(w http.ResponseWriter, code int, reason, text string) {
	h.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, text, code)
}

// streamOf returns the stream that a request asks for. If there is none, streamOf answers the
// request.
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
	if h.cfg.Play != nil && !h.cfg.Clear.IsPeer(r) {
		h.servePlayer(w, r, key)
		return
	}
	if over, ok := h.cfg.Clear.Admit(w, r); ok {
		h.serveToPeer(w, r, key, over)
	}
}

// serveToPeer sends a stream to a peer, until over is closed.
func (h *Handler) serveToPeer(w http.ResponseWriter, r *http.Request, key stream.Key, over <-chan struct{}) {
	// A peer may lag by more than a stranger may. The limit for a peer is depth.
	tcp.FromContext(r.Context()).SetLimits(tcp.Limits{})
	h.serve(w, r, key, "relay", over, func(a *answer, s *stream.Stream) (feeder, error) { return newSender(a, s) })
}

// A feeder writes a stream to a reader.
type feeder interface {
	// begin sends the initial state and media.
	begin() error
	// update is called when the stream has changed, send with each access unit, and beat every
	// heartbeat.
	update() error
	send(*stream.AccessUnit) error
	beat() error
}

// serve sends a stream to a reader until the reader goes away or accepts no more data, or until
// enough is closed. door names the kind of reader in metrics.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, key stream.Key, door string, enough <-chan struct{}, start func(*answer, *stream.Stream) (feeder, error)) {
	a := newAnswer(r.Context(), w, "video/x-flv")
	if r.Method == http.MethodHead {
		return
	}
	defer admission.Hold(r.Context())() // media goes to this connection
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
	beat := time.NewTicker(peer.Heartbeat)
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
			act = out.update
			if n := len(sub.C); n > 0 { // access units that a publication sent before it ended still count
				act = func() error {
					if err := sendNext(out, sub.C, n); err != nil {
						return err
					}
					return out.update()
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

// sendNext sends the access units that are queued, up to n.
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
