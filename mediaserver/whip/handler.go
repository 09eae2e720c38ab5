// Package whip takes WebRTC publishers in by WHIP (RFC 9725): browsers, OBS, ffmpeg.
//
// It speaks the HTTP part, receives RTP through rtc.Engine, puts packets back in
// order, asks for lost ones and for key frames, and writes whole access units into a
// stream.Publication. It decides nothing about who may publish (Config.Authorize
// does), and knows no viewers. Start with NewHandler.
//
// What one publisher's packets go through, each a type that can be tested without a
// network: reorder, assembler, timeline, keyframes. A layer has them for one encoding of the
// picture, and chooseLayer decides which is published. receiver puts all together, and
// session owns the goroutine.
package whip

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	sdpType = "application/sdp"

	// connectGrace is how long a session keeps its place although too many are connecting.
	connectGrace = 2 * time.Second

	// bodyTimeout bounds how long a client may take to send a body.
	bodyTimeout = 10 * time.Second
)

// Config configures a Handler.
type Config struct {
	// Engine carries the media; required.
	Engine *rtc.Engine
	// Registry takes the publications; required.
	Registry *stream.Registry
	// Authorize says whether somebody with this token may publish; authenticated is
	// false when no token was needed. Required. A publisher without a token is told to
	// send one (401), one with a token that it may not (403), and either is told of a
	// stream.ErrUndeclared (404).
	Authorize func(key stream.Key, token string) (authenticated bool, err error)
	// CheckOpen is asked about each request to publish that needed no token. An error is
	// the publisher's 403. Default: none is refused.
	CheckOpen func(r *http.Request) error
	// ICEServers returns what is recommended in Link headers to those who may publish.
	// Default: none.
	ICEServers func(key stream.Key) []webrtc.ICEServer
	// MaxSessions bounds publishers at a time; default 256. When there are so many, a new
	// one takes the place of one that has not connected, if there is one.
	MaxSessions int
	// MaxConnecting bounds those that are not connected yet; a new one takes the place of
	// the one that has tried for the longest. Default 32.
	MaxConnecting int
	// Origin is what session ids begin with. Default: a standalone server that has just
	// begun.
	Origin signalling.Origin
	// Alternate returns the base URL of another server that takes the same streams, to be
	// told to publishers who are refused because this one is full or about to end; empty: none
	// is known. Default: none.
	Alternate func() string
	// ConnectTimeout is how long a publisher has from its offer until media can
	// flow; default 15 s.
	ConnectTimeout time.Duration
	// Recovery keeps a panic to its session; default: it ends the process.
	Recovery *recovery.Recovery
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Handler serves WHIP. It must be closed, before its Engine.
type Handler struct {
	cfg      Config
	refusals *signalling.RefusalLog

	running sync.WaitGroup

	door     *admission.Door // of the sessions, and of those being negotiated
	mu       recovery.Mutex  // guards the rest
	sessions map[string]*session
	closed   bool
}

// NewHandler returns a Handler; Register mounts it.
func NewHandler(cfg Config) *Handler {
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(stream.Key) []webrtc.ICEServer { return nil }
	}
	if cfg.CheckOpen == nil {
		cfg.CheckOpen = func(*http.Request) error { return nil }
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 256
	}
	if cfg.MaxConnecting == 0 {
		cfg.MaxConnecting = 32
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 15 * time.Second
	}
	if cfg.Origin == (signalling.Origin{}) {
		cfg.Origin = signalling.Origin{Role: "s", BootID: signalling.NewBootID()}
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Handler{
		cfg: cfg, refusals: signalling.NewRefusalLog(cfg.Logger), sessions: map[string]*session{},
		door: admission.NewDoor(admission.DoorConfig{
			Name: "publishers", Metrics: cfg.Metrics,
			Limits: admission.Limits{
				Max: cfg.MaxSessions, MaxWaiting: cfg.MaxConnecting, MaxLeaving: cfg.MaxConnecting, Grace: connectGrace,
			},
		}),
	}
}

// Register mounts the endpoint, /{app}/whip/{streamId}, and its sessions below it.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("/{app}/whip/{streamId}", h.serveEndpoint)
	mux.HandleFunc("/{app}/whip/{streamId}/{session}", h.serveSession)
}

// Close ends all sessions and returns when nothing runs any more. New ones are
// refused from then on.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		go s.end(stream.EndShutdown, nil)
	}
	h.mu.Unlock()
	h.running.Wait()
}

func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	switch r.Method {
	case http.MethodPost:
		if refusal := h.post(w, r); refusal != nil {
			h.refuse(w, r, refusal)
		}
	case http.MethodOptions:
		w.Header().Set("Accept-Post", sdpType)
		preflight(w, "POST, OPTIONS")
	default:
		w.Header().Set("Accept-Post", sdpType)
		h.refuseMethod(w, r, "POST, OPTIONS", "To publish, POST an SDP offer here.")
	}
}

func (h *Handler) serveSession(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	const methods = "PATCH, DELETE, OPTIONS"
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Accept-Patch", sdpfrag.ContentType)
		preflight(w, methods)
		return
	case http.MethodPatch, http.MethodDelete:
	default:
		h.refuseMethod(w, r, methods, "A session takes PATCH and DELETE only.")
		return
	}
	s, refusal := h.find(r)
	if refusal == nil {
		if r.Method == http.MethodPatch {
			refusal = s.patch(w, r)
		} else {
			s.end(stream.EndUnpublished, nil)
			w.WriteHeader(http.StatusOK)
		}
	}
	if refusal != nil {
		h.refuse(w, r, refusal)
	}
}

// post begins a session, RFC 9725 section 4.2.
func (h *Handler) post(w http.ResponseWriter, r *http.Request) *refusal {
	key := stream.Key{App: r.PathValue("app"), ID: r.PathValue("streamId")}
	if !key.Valid() {
		return refusePublish(stream.ErrInvalidStreamID)
	}
	token := signalling.Token(r)
	authenticated, err := h.cfg.Authorize(key, token)
	switch {
	case errors.Is(err, stream.ErrUndeclared):
		return refusePublish(err)
	case err != nil && token == "":
		return refuse(http.StatusUnauthorized, "Unauthorized",
			"Publishing %s needs a token: send it as \"Authorization: Bearer …\" or append ?token=… to the URL.", key)
	case err != nil:
		return refuse(http.StatusForbidden, "Forbidden", "Publishing %s is refused: %v.", key, err)
	}
	if !authenticated {
		if err := h.cfg.CheckOpen(r); err != nil {
			return refuse(http.StatusForbidden, "ForeignPage", "Publishing %s is refused: %v.", key, err)
		}
	}
	body, refusal := readBody(w, r, sdpType, sdpoffer.MaxBytes)
	if refusal != nil {
		return refusal
	}
	s := h.newSession(key, token, signalling.BearerToken(r) != "", r.RemoteAddr, rtc.ReachOf(r))
	if refusal := h.reserve(s, admission.NetworkOf(admission.AddressOf(r.RemoteAddr))); refusal != nil {
		s.cancel()
		return refusal
	}
	answer, refusal := s.begin(string(body), authenticated, r.RemoteAddr)
	if refusal != nil {
		s.cancel()
		h.leave(s)
		return refusal
	}
	h.start(s)
	s.log.Info("publisher accepted", "userAgent", r.UserAgent())

	for _, link := range signalling.ICEServerLinks(h.cfg.ICEServers(key)) {
		w.Header().Add("Link", link)
	}
	w.Header().Set("Content-Type", sdpType)
	w.Header().Set("Location", signalling.Location(r, s.id))
	w.Header().Set("ETag", s.etag)
	w.Header().Set("Accept-Patch", sdpfrag.ContentType)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
	return nil
}

// find returns the session a request is about.
func (h *Handler) find(r *http.Request) (*session, *refusal) {
	h.mu.Lock()
	s := h.sessions[r.PathValue("session")]
	h.mu.Unlock()
	key := stream.Key{App: r.PathValue("app"), ID: r.PathValue("streamId")}
	if s == nil || s.key != key || s.ctx.Err() != nil {
		return nil, refuse(http.StatusNotFound, "NoSession", "This session has ended; POST a new offer to publish again.")
	}
	if !s.authorised(signalling.Token(r)) {
		return nil, refuse(http.StatusUnauthorized, "Unauthorized", "This request needs the token the session was begun with.")
	}
	return s, nil
}

// patch takes trickled candidates, RFC 9725 section 4.3.2.
func (s *session) patch(w http.ResponseWriter, r *http.Request) *refusal {
	body, refusal := readBody(w, r, sdpfrag.ContentType, sdpfrag.MaxSize)
	if refusal != nil {
		return refusal
	}
	fragment, err := sdpfrag.Parse(body)
	if err != nil {
		return refuse(http.StatusBadRequest, "MalformedFragment", "The body is not an SDP fragment: %v.", err)
	}
	switch match := r.Header.Get("If-Match"); match {
	case "":
		return refuse(http.StatusPreconditionRequired, "NoIfMatch", "Send the session's ETag as If-Match.")
	case "*": // an ICE restart, which trickle refuses
	case s.etag:
	default:
		return refuse(http.StatusPreconditionFailed, "WrongETag", "If-Match is not this session's ETag, %s.", s.etag)
	}
	if refusal := s.trickle(fragment); refusal != nil {
		return refusal
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	h.cfg.Metrics.PublishRefusals.WithLabelValues("whip", refused.reason).Inc()
	h.refusals.Log(r, signalling.Refusal{
		Protocol: "whip", Stream: r.PathValue("app") + "/" + r.PathValue("streamId"),
		Status: refused.status, Reason: refused.reason, Message: refused.text,
	})
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="streampair"`)
	}
	if refused.status == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Post", sdpType)
		w.Header().Set("Accept-Patch", sdpfrag.ContentType)
	}
	if refused.reason == reasonShuttingDown || refused.reason == reasonFull {
		signalling.LinkAlternate(w, h.cfg.Alternate())
	}
	if refused.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(refused.retryAfter))
	}
	writeText(w, refused.status, refused.text)
}

func (h *Handler) refuseMethod(w http.ResponseWriter, r *http.Request, allowed, text string) {
	w.Header().Set("Allow", allowed)
	h.refuse(w, r, &refusal{status: http.StatusMethodNotAllowed, reason: "MethodNotAllowed", text: text})
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// allowOrigins lets pages from anywhere publish: what authorises is the token, which
// a browser does not add by itself.
func allowOrigins(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After")
	w.Header().Set("Cache-Control", "no-store")
}

func preflight(w http.ResponseWriter, methods string) {
	w.Header().Set("Access-Control-Allow-Methods", methods)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	w.Header().Set("Access-Control-Max-Age", "3600")
	w.Header().Set("Allow", methods)
	w.WriteHeader(http.StatusNoContent)
}

// bodyReasons are metrics' words for a signalling.BodyError.
var bodyReasons = map[int]string{
	http.StatusUnsupportedMediaType:  "ContentType",
	http.StatusRequestEntityTooLarge: "BodyTooLarge",
	http.StatusBadRequest:            "BodyNotRead",
}

// readBody reads a body of the given type.
func readBody(w http.ResponseWriter, r *http.Request, contentType string, limit int64) ([]byte, *refusal) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not all writers can
	body, err := signalling.ReadBody(w, r, contentType, limit)
	if err != nil {
		return nil, &refusal{status: err.Status, reason: bodyReasons[err.Status], text: err.Message}
	}
	return body, nil
}
