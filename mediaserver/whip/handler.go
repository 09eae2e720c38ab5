// Package whip accepts WebRTC publishers by WHIP (RFC 9725): browsers, OBS, ffmpeg.
//
// It serves the HTTP requests and receives RTP through rtc.Engine. It puts packets back in order,
// asks for lost packets and for IDRs, and writes whole access units into a stream.Publication.
// Config.Authorize decides who may publish. The package knows no viewers. Start with NewHandler.
//
// One publisher's packets pass through reorder, assembler, timeline and keyframes. Each
// of these types can be tested without a network. A layer has one of each, except the
// timeline, for one encoding of the picture; chooseLayer decides which layer is
// published. receiver joins these parts, and session owns the goroutine.
package whip

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Config configures a Handler.
type Config struct {
	// Engine carries the media; required.
	Engine *rtc.Engine
	// Registry takes the publications; required.
	Registry *stream.Registry
	// Authorize returns nil if a client with this token may publish; authenticated is
	// false when no token was needed. Required. After an error, a publisher without a
	// token is told to send one (401), and a publisher with a token that it may not
	// publish (403). For stream.ErrUndeclared both get 404.
	Authorize func(key stream.Key, token string) (authenticated bool, err error)
	// CheckOpen is called for each request to publish that needed no token. Its error is
	// sent to the publisher with 403. Default: no request is refused.
	CheckOpen func(r *http.Request) error
	// ICEServers returns the ICE servers that Link headers recommend to publishers. Default: none.
	ICEServers func(key stream.Key) []webrtc.ICEServer
	// MaxSessions bounds the publishers at one time; default 256. When there are that many, a new
	// publisher takes the place of one that has not connected, if there is one.
	MaxSessions int
	// MaxConnecting bounds the publishers that are not connected yet; default 32. A new
	// publisher takes the place of the one that has tried for the longest.
	MaxConnecting int
	// Origin is the prefix of session ids. Default: that of a standalone server that
	// has just started.
	Origin signalling.Origin
	// Alternate returns the base URL of another server that takes the same streams, or
	// "" if none is known. It is told to publishers that are refused because this
	// server is full or about to end. Default: none is known.
	Alternate func() string
	// ConnectTimeout is how long a publisher may take from its offer until media can
	// flow; default 15 s.
	ConnectTimeout time.Duration
	// Recovery confines a panic to its session; default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Handler serves WHIP. It must be closed before its Engine.
type Handler struct {
	cfg      Config
	front    *signalling.Front
	accepted *signalling.LogBudget
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
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{cfg: cfg, accepted: signalling.NewLogBudget()}
	h.front = signalling.NewFront(signalling.FrontConfig{
		Protocol: protocol, Authorize: h.authorize,
		ICEServers: func(r *http.Request) []webrtc.ICEServer { return cfg.ICEServers(keyOf(r)) },
		Door:       "publishers", MaxSessions: cfg.MaxSessions, MaxConnecting: cfg.MaxConnecting,
		Full:   "The server has as many WHIP publishers as it accepts; try again later.",
		Origin: cfg.Origin, Alternate: cfg.Alternate, CountRefusal: h.countRefusal,
		Recovery: cfg.Recovery, Logger: cfg.Logger, Metrics: cfg.Metrics,
	})
	return h
}

// Register mounts the endpoint, /{app}/whip/{streamId}, and its sessions below it.
func (h *Handler) Register(mux *http.ServeMux) { h.front.Register(mux) }

// Close ends all sessions and returns when all their goroutines have ended. It refuses
// new sessions.
func (h *Handler) Close() { _ = h.front.Shutdown(context.Background()) } // which has no end of its own

func (h *Handler) countRefusal(reason string) {
	h.cfg.Metrics.PublishRefusals.WithLabelValues(protocol, reason).Inc()
}

// keyOf returns the stream that a request is about.
func keyOf(r *http.Request) stream.Key {
	return stream.Key{App: r.PathValue("app"), ID: r.PathValue("streamId")}
}

// Publish opens a session, as a POST of r with that offer would. onConnected is called once the publisher
// has connected.
func (h *Handler) Publish(r *http.Request, offer string, onConnected func()) (*signalling.Session, string, *signalling.Refusal) {
	return h.front.Open(r, offer, func(p signalling.Peer) { p.(*session).onConnected = onConnected })
}

// Check returns the refusal of a POST of r; nil: the client may publish. The body of r is not read.
func (h *Handler) Check(r *http.Request) *signalling.Refusal {
	_, refusal := h.authorize(r)
	return refusal
}

// authorize decides whether a client may publish.
func (h *Handler) authorize(r *http.Request) (func(*signalling.Session) signalling.Peer, *signalling.Refusal) {
	key, token := keyOf(r), signalling.Token(r)
	if !key.Valid() {
		return nil, refusePublish(stream.ErrInvalidStreamID)
	}
	authenticated, err := h.cfg.Authorize(key, token)
	switch {
	case errors.Is(err, stream.ErrUndeclared):
		return nil, refusePublish(err)
	case errors.Is(err, jwks.ErrUnavailable):
		return nil, signalling.RefuseForNow(signalling.ReasonNoKeys, 5, "Publishing %s is refused: %v.", key, err)
	case err != nil && token == "":
		return nil, signalling.Refuse(http.StatusUnauthorized, signalling.ReasonUnauthorized,
			"Publishing %s needs a token: send it as \"Authorization: Bearer …\" or append ?token=… to the URL.", key)
	case err != nil:
		// "Forbidden" is the metric's word for a wrong token, from when it was answered 403.
		return nil, signalling.Refuse(http.StatusUnauthorized, "Forbidden",
			"Publishing %s is refused: %v. Send the publish token of its StreamPair as \"Authorization: Bearer …\" or append ?token=… to the URL.", key, err)
	}
	if !authenticated {
		if err := h.cfg.CheckOpen(r); err != nil {
			return nil, signalling.Refuse(http.StatusForbidden, "ForeignPage", "Publishing %s is refused: %v.", key, err)
		}
	}
	return func(s *signalling.Session) signalling.Peer { return h.newSession(s, r, authenticated) }, nil
}

// mayLog reports whether the log may name another publisher from that address. It limits how
// often publishers that are accepted but not connected are logged.
func (h *Handler) mayLog(remote string) bool {
	_, ok := h.accepted.Take(admission.NetworkOf(admission.AddressOf(remote)), time.Now())
	return ok
}

// refusePublish returns the refusal for an error of Registry.Publish or a stream.ErrUndeclared.
func refusePublish(err error) *signalling.Refusal {
	r := signalling.Refuse(http.StatusInternalServerError, "Internal", "%s", sentence(err))
	switch {
	case errors.Is(err, stream.ErrInvalidStreamID):
		r.Status, r.Reason = http.StatusBadRequest, "InvalidStreamID"
	case errors.Is(err, stream.ErrUndeclared):
		r.Status, r.Reason = http.StatusNotFound, signalling.ReasonUnknownStream
	case errors.Is(err, stream.ErrStreamInUse):
		r.Status, r.Reason = http.StatusConflict, "StreamInUse"
	case errors.Is(err, stream.ErrTooManyTakeovers):
		r.Status, r.Reason = http.StatusConflict, "TooManyTakeovers"
	case errors.Is(err, stream.ErrTooManyStreams):
		r.Status, r.Reason, r.RetryAfter = http.StatusServiceUnavailable, "TooManyStreams", 10
	case errors.Is(err, stream.ErrExpelled):
		r.Status, r.Reason, r.RetryAfter = http.StatusServiceUnavailable, "Expelled", 30
	case errors.Is(err, stream.ErrShuttingDown):
		return signalling.RefuseForNow(signalling.ReasonShuttingDown, 2, "%s", r.Message)
	}
	return r
}

// sentence returns an error's text as a sentence.
func sentence(err error) string {
	text := err.Error()
	if text == "" {
		return ""
	}
	if text[0] >= 'a' && text[0] <= 'z' {
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return text + "."
}
