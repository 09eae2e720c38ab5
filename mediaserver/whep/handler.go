// Package whep serves browsers and players over WebRTC by the WebRTC-HTTP Egress
// Protocol (draft-ietf-wish-whep). One POST with an offer opens a session. Its answer
// carries all that is needed to connect. DELETE ends the session.
//
// The package handles HTTP only. The rtc package's Output and Viewer send the media. The caller
// decides which Output belongs to a URL, and who may watch it (Config). Start with NewHandler.
package whep

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
)

const (
	// protocol names WHEP in URLs, metrics and the log, and is the label of panics.
	protocol = "whep"

	// retryAfter is the number of seconds after which a viewer may ask again for a stream that
	// could not be opened.
	retryAfter = 5

	// Sessions that have not connected may have a quarter of the places, but at least
	// minConnecting. They may have connectingUnlimited when the number of viewers is not limited.
	minConnecting       = 64
	connectingUnlimited = 1024

	// defaultEventStreams is the default of EventsConfig.MaxStreams.
	defaultEventStreams = 4096
)

// reasonLabels are WHEP's words for reasons, which are label values of its metric.
var reasonLabels = map[string]string{
	signalling.ReasonBodyNotRead:       "body",
	signalling.ReasonBodyTooLarge:      "body_too_large",
	signalling.ReasonContentType:       "content_type",
	signalling.ReasonFull:              "max_viewers",
	signalling.ReasonICERestart:        "ice_restart",
	signalling.ReasonMalformedFragment: "bad_fragment",
	signalling.ReasonMalformedOffer:    "bad_offer",
	signalling.ReasonMethod:            "method",
	signalling.ReasonNoSession:         "unknown_session",
	signalling.ReasonOfferTooLarge:     "offer_too_large",
	signalling.ReasonPanic:             "panic",
	signalling.ReasonPushedOut:         "pushed_out",
	signalling.ReasonShuttingDown:      "shutting_down",
	signalling.ReasonNoKeys:            "no_keys",
	signalling.ReasonUnauthorized:      "unauthorized",
	signalling.ReasonUnknownStream:     "unknown_stream",
	signalling.ReasonUnsupportedMedia:  "no_common_format",
	signalling.ReasonWrongETag:         "etag",
}

// Config configures a Handler.
type Config struct {
	// Engine makes the PeerConnections. Required.
	Engine *rtc.Engine
	// Open returns the output for a stream, or for a pair if backupID is not empty. from
	// is the viewer's network. release is called when the viewer is gone. After an error
	// the viewer gets 404 if stream.IsUnknown, or else 503. A stream that is not published at
	// the moment is no error. Required.
	Open func(from netip.Prefix, app, streamID, backupID string) (output *rtc.Output, release func(), err error)
	// Authorize returns nil if the token opens the stream. After an error the viewer gets
	// 404 if stream.IsUnknown, 503 if jwks.ErrUnavailable, or else 401. Default: everybody may watch.
	Authorize func(app, streamID, backupID, token string) error
	// Validity returns when a session with this token must end: when revoked is closed, and at
	// until; see EndInvalid. Zero values mean never. Default: never.
	Validity func(app, streamID, token string) (revoked <-chan struct{}, until time.Time)
	// MaxViewers bounds the sessions at one time; 0 means no limit. When there are that many, a
	// new session takes the place of one that has not connected, if there is one.
	MaxViewers int
	// ICEServers returns the ICE servers that Link headers recommend to viewers. Default: none.
	ICEServers func(app, streamID, backupID string) []webrtc.ICEServer
	// Origin is the prefix of session ids. Default: that of a standalone server that
	// has just started.
	Origin signalling.Origin
	// Alternate returns the base URL of another server that plays the same, or "" if
	// none is known. It is told to viewers that are refused because this server is
	// full or about to end. Default: none is known.
	Alternate func() string
	// Events configures the events of sessions. Default: there are none.
	Events *EventsConfig
	// Recovery confines a panic to its session; default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Handler serves WHEP.
type Handler struct {
	cfg   Config
	log   *slog.Logger
	front *signalling.Front
	// eventDoor has the places of the GETs that follow events; nil: there are no events.
	eventDoor *admission.Door
}

// NewHandler returns a Handler without sessions.
func NewHandler(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(string, string, string, string) error { return nil }
	}
	if cfg.Validity == nil {
		cfg.Validity = func(string, string, string) (<-chan struct{}, time.Time) { return nil, time.Time{} }
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(string, string, string) []webrtc.ICEServer { return nil }
	}
	h := &Handler{cfg: cfg, log: cfg.Logger.With("component", "whep")}
	h.front = signalling.NewFront(signalling.FrontConfig{
		Protocol: protocol, Authorize: h.authorize,
		ICEServers: func(r *http.Request) []webrtc.ICEServer { return cfg.ICEServers(target(r)) },
		Door:       "viewers", MaxSessions: cfg.MaxViewers, MaxConnecting: maxConnecting(cfg.MaxViewers),
		Full:   "As many viewers are watching as this server accepts; try again later.",
		Origin: cfg.Origin, Alternate: cfg.Alternate, ReasonLabels: reasonLabels,
		CountRefusal: func(reason string) { cfg.Metrics.ViewerRefusals.WithLabelValues(reason).Inc() },
		Recovery:     cfg.Recovery, Logger: h.log, Metrics: cfg.Metrics,
	})
	if cfg.Events != nil {
		places := cmp.Or(cfg.Events.MaxStreams, defaultEventStreams)
		h.eventDoor = admission.NewDoor(admission.DoorConfig{
			Name: "whep_events", Metrics: cfg.Metrics, Limits: admission.Limits{Max: places, MaxLeaving: places},
		})
	}
	return h
}

func maxConnecting(maxViewers int) int {
	if maxViewers == 0 {
		return connectingUnlimited
	}
	return max(minConnecting, maxViewers/4)
}

// Register adds the handler's routes to mux.
func (h *Handler) Register(mux *http.ServeMux) {
	h.front.Register(mux)
	if h.cfg.Events != nil {
		h.registerEvents(mux)
	}
}

// ViewerCount returns the number of sessions, including those that are being negotiated.
func (h *Handler) ViewerCount() int { return h.front.Door.Taken() }

// Session returns a channel that is closed when the session with that signalling.EventsID
// has ended: see signalling.Front.Ended.
func (h *Handler) Session(name string) (ended <-chan struct{}, ok bool) { return h.front.Ended(name) }

// Reduced reports whether the viewer of the session with that signalling.EventsID gets IDRs only: see
// rtc.Viewer.Reduced. changed is nil if there is no such session.
func (h *Handler) Reduced(name string) (reduced bool, changed <-chan struct{}) {
	peer, ok := h.front.PeerOf(name)
	if !ok {
		return false, nil
	}
	return peer.(*session).viewer.Reduced()
}

// EndInvalid ends the sessions that Config.Validity allows no longer. The caller calls it at
// intervals. A goroutine for each viewer would nearly always wait in vain.
func (h *Handler) EndInvalid(now time.Time) {
	for _, p := range h.front.Peers() {
		s := p.(*session)
		if why := s.validity.Load().ended(now); why != "" && s.SetEnding() {
			h.drop(why)
			go s.viewer.Close()
		}
	}
}

// drop counts a session that the server ends.
func (h *Handler) drop(reason string) { h.cfg.Metrics.ViewersDropped.WithLabelValues(reason).Inc() }

// Drain refuses new sessions. Open sessions go on.
func (h *Handler) Drain() { h.front.Drain() }

// Shutdown refuses new sessions and ends the open ones. It returns when they are gone
// or ctx is done.
func (h *Handler) Shutdown(ctx context.Context) error { return h.front.Shutdown(ctx) }

// target returns what a request asks to watch.
func target(r *http.Request) (app, streamID, backupID string) {
	return r.PathValue("app"), r.PathValue("streamId"), r.URL.Query().Get("backupStreamId")
}

// authorize decides whether a viewer may watch.
func (h *Handler) authorize(r *http.Request) (func(*signalling.Session) signalling.Peer, *signalling.Refusal) {
	app, streamID, backupID := target(r)
	if refusal := h.check(app, streamID, backupID, signalling.Token(r)); refusal != nil {
		return nil, refusal
	}
	return func(s *signalling.Session) signalling.Peer { return h.newSession(s, r) }, nil
}

// check returns why a token does not open the streams; nil: the token opens them.
func (h *Handler) check(app, streamID, backupID, token string) *signalling.Refusal {
	if err := h.cfg.Authorize(app, streamID, backupID, token); err != nil {
		return signalling.RefuseViewer(err)
	}
	return nil
}

// refuseUnknown returns the refusal for an error that stream.IsUnknown.
func refuseUnknown(err error) *signalling.Refusal {
	return signalling.Refuse(http.StatusNotFound, signalling.ReasonUnknownStream, "%v", err)
}
