// Package whep lets browsers and players watch over WebRTC by the WebRTC-HTTP Egress
// Protocol (draft-ietf-wish-whep): one POST with an offer opens a session, its
// answer carries everything needed to connect, and DELETE ends it.
//
// It is HTTP only. What is sent, and how, is the rtc package's Output and Viewer;
// which Output belongs to a URL, and who may watch it, the caller decides (Config).
// Start with NewHandler.
package whep

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// ErrUnknownStream may be wrapped by Authorize and Open for a stream that does not
// exist here and will not: the viewer gets 404 instead of 401 or 503. (A stream that
// nobody publishes at the moment is no error.)
var ErrUnknownStream = errors.New("unknown stream")

const (
	mediaTypeSDP = "application/sdp"

	// retryAfter, in seconds, is when a viewer who found no room may try again.
	retryAfter = 5

	// Of the places, a quarter but at least minConnecting are for sessions that have
	// not connected; connectingUnlimited, where the number of viewers is not limited.
	minConnecting       = 64
	connectingUnlimited = 1024

	// connectGrace is how long a session keeps its place although too many are connecting.
	connectGrace = 2 * time.Second
)

// Config configures a Handler.
type Config struct {
	// Engine makes the PeerConnections. Required.
	Engine *rtc.Engine
	// Open returns the output for a stream, or for a pair if backupID is not empty, to a
	// viewer of that network, and a function to call when the viewer is gone. An error is the viewer's 503,
	// or 404 if it is ErrUnknownStream. Required.
	Open func(from netip.Prefix, app, streamID, backupID string) (output *rtc.Output, release func(), err error)
	// Authorize says whether the token opens the stream. An error is the viewer's
	// 401, or 404 if it is ErrUnknownStream. Default: everybody may watch.
	Authorize func(app, streamID, backupID, token string) error
	// Revoked returns a channel that is closed when whoever opened a session with this token
	// must go; see EndRevoked. Default: nil, and nobody must.
	Revoked func(app, streamID, token string) <-chan struct{}
	// MaxViewers bounds the sessions at a time; 0 means no limit. When there are so
	// many, a new one takes the place of one that has not connected, if there is one.
	MaxViewers int
	// ICEServers returns what is recommended in Link headers to those who may watch.
	// Default: none.
	ICEServers func(app, streamID, backupID string) []webrtc.ICEServer
	// Origin is what session ids begin with. Default: a standalone server that has just
	// begun.
	Origin signalling.Origin
	// Alternate returns the base URL of another server that plays the same, to be told to
	// viewers who are refused because this one is full or about to end; empty: none is known.
	// Default: none.
	Alternate func() string
	// Recovery keeps a panic to its session; default: it ends the process.
	Recovery *recovery.Recovery
	// Logger; default slog.Default(). Metrics; required.
	Logger  *slog.Logger
	Metrics *metrics.Metrics
}

// A Handler serves WHEP.
type Handler struct {
	cfg      Config
	log      *slog.Logger
	refusals *signalling.RefusalLog

	door *admission.Door // of the sessions, and of those being negotiated

	mu       recovery.Mutex // guards all below
	sessions map[string]*session
	events   map[string]*session // by signalling.EventsID
	viewers  int                 // with a place
	closed   bool
	wait     sync.WaitGroup // for all viewers to have left
}

// NewHandler returns a Handler without sessions.
func NewHandler(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(string, string, string, string) error { return nil }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string, string, string) <-chan struct{} { return nil }
	}
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(string, string, string) []webrtc.ICEServer { return nil }
	}
	if cfg.Origin == (signalling.Origin{}) {
		cfg.Origin = signalling.Origin{Role: "s", BootID: signalling.NewBootID()}
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	log := cfg.Logger.With("component", "whep")
	return &Handler{
		cfg: cfg, log: log, refusals: signalling.NewRefusalLog(log),
		sessions: map[string]*session{}, events: map[string]*session{}, door: newDoor(cfg.MaxViewers, cfg.Metrics),
	}
}

// newDoor returns the places of as many viewers; 0: of any number. A viewer who has connected
// keeps its place while media goes there. One who has not, or who is connected to what nobody
// publishes, may lose its place to another.
func newDoor(maxViewers int, m *metrics.Metrics) *admission.Door {
	connecting := maxConnecting(maxViewers)
	return admission.NewDoor(admission.DoorConfig{
		Name: "viewers", Metrics: m,
		Limits: admission.Limits{Max: maxViewers, MaxWaiting: connecting, MaxLeaving: connecting, Grace: connectGrace},
	})
}

func maxConnecting(maxViewers int) int {
	if maxViewers == 0 {
		return connectingUnlimited
	}
	return max(minConnecting, maxViewers/4)
}

// Register adds the handler's routes to mux.
func (h *Handler) Register(mux *http.ServeMux) {
	const endpoint, resource = "/{app}/whep/{streamId}", "/{app}/whep/{streamId}/{session}"
	mux.HandleFunc("POST "+endpoint, h.post)
	mux.HandleFunc("OPTIONS "+endpoint, h.options)
	mux.HandleFunc("PATCH "+resource, h.patch)
	mux.HandleFunc("DELETE "+resource, h.delete)
	mux.HandleFunc("OPTIONS "+resource, h.options)
	mux.HandleFunc(endpoint, h.refuseMethod("OPTIONS, POST", "to watch, POST an SDP offer here"))
	mux.HandleFunc(resource, h.refuseMethod("DELETE, OPTIONS, PATCH", "a session takes PATCH and DELETE only"))
}

// refuseMethod refuses requests of all methods but the allowed ones.
func (h *Handler) refuseMethod(allowed, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		allowOrigins(w)
		w.Header().Set("Allow", allowed)
		h.refuse(w, r, &refusal{http.StatusMethodNotAllowed, message, "method"})
	}
}

// ViewerCount is the number of sessions, those being negotiated included.
func (h *Handler) ViewerCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers
}

// Session returns a channel that is closed when the session with that signalling.EventsID
// has ended; it is not ok if there is no such session now. The id of the session does as
// well: pages of servers before EventsHeader send that.
func (h *Handler) Session(name string) (ended <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.events[name]
	if s == nil {
		s = h.sessions[name]
	}
	if s == nil {
		return nil, false
	}
	return s.left, true
}

// EndRevoked ends the sessions whose Config.Revoked is closed. It is to be called now and
// then: a goroutine for each viewer would wait in vain nearly always.
func (h *Handler) EndRevoked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		select {
		case <-s.revoked:
			h.cfg.Metrics.ViewersDropped.WithLabelValues("token_replaced").Inc()
			h.forget(s)
			go s.viewer.Close()
		default:
		}
	}
}

// Drain refuses new sessions; those that are open go on.
func (h *Handler) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// Shutdown refuses new sessions and ends the others. It returns when they are gone
// or ctx is done.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		go s.viewer.Close()
	}
	h.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		h.wait.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A refusal is an answer other than success: its status, a sentence for the person
// who reads the player's log, and a word for metrics.
type refusal struct {
	status  int
	message string
	reason  string
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	switch refused.status {
	case http.StatusServiceUnavailable:
		after := retryAfter
		if refused == errShuttingDown {
			after = 1
		}
		// Another server takes the next attempt, on another connection.
		w.Header().Set("Connection", "close")
		signalling.LinkAlternate(w, h.cfg.Alternate())
		w.Header().Set("Retry-After", strconv.Itoa(after))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	h.cfg.Metrics.ViewerRefusals.WithLabelValues(refused.reason).Inc()
	h.refusals.Log(r, signalling.Refusal{
		Protocol: "whep", Stream: r.PathValue("app") + "/" + r.PathValue("streamId"),
		Status: refused.status, Reason: refused.reason, Message: refused.message,
	})
	http.Error(w, refused.message, refused.status)
}

func (h *Handler) options(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	header := w.Header()
	header.Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	header.Set("Access-Control-Max-Age", "86400")
	if r.PathValue("session") == "" {
		header.Set("Accept-Post", mediaTypeSDP)
		// For clients that want them before they make an offer (RFC 9725 section 4.6). A
		// browser's preflight has no token, and needs none of this.
		app, streamID, backupID := target(r)
		if h.cfg.Authorize(app, streamID, backupID, signalling.Token(r)) == nil {
			h.linkICEServers(w, r)
		}
	} else {
		header.Set("Accept-Patch", sdpfrag.ContentType)
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowOrigins lets players embedded in other sites' pages use the API and read the
// headers they need. No cookie is ever looked at, so any origin may.
func allowOrigins(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After, Accept-Patch, "+signalling.EventsHeader)
}

// target is what a request asks to watch.
func target(r *http.Request) (app, streamID, backupID string) {
	return r.PathValue("app"), r.PathValue("streamId"), r.URL.Query().Get("backupStreamId")
}

// linkICEServers recommends STUN and TURN servers.
func (h *Handler) linkICEServers(w http.ResponseWriter, r *http.Request) {
	for _, link := range signalling.ICEServerLinks(h.cfg.ICEServers(target(r))) {
		w.Header().Add("Link", link)
	}
}

// bodyReasons are metrics' words for a signalling.BodyError.
var bodyReasons = map[int]string{
	http.StatusUnsupportedMediaType:  "content_type",
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusBadRequest:            "body",
}

// readBody reads a request's body of the given type.
func readBody(w http.ResponseWriter, r *http.Request, mediaType string, limit int64) (string, *refusal) {
	body, err := signalling.ReadBody(w, r, mediaType, limit)
	if err != nil {
		return "", &refusal{err.Status, err.Message, bodyReasons[err.Status]}
	}
	return string(body), nil
}
