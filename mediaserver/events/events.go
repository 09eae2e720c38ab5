// Package events tells players what is on air in the pair that they play, which leg is live, and where
// they find the pair when their server ends. Start with NewHandler.
package events

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/sse"
	"github.com/streampair/streampair/mediaserver/stream"
)

// heartbeat is how often players hear from the server. Two missing heartbeats
// tell a player that the server is gone, long before a timeout of TCP or ICE.
const heartbeat = 500 * time.Millisecond

// Config configures a Handler.
type Config struct {
	// Open returns the pair of a play URL, for a player in that network. release
	// is called when the player has gone. The error's text is shown to the
	// viewer, with 404 if stream.IsUnknown and otherwise with 503.
	Open func(from netip.Prefix, app, streamID, backupID string) (pair *failover.Pair, release func(), err error)
	// Authorize checks whether the token lets a viewer play. The error's text is shown
	// to the viewer, with 404 if stream.IsUnknown, 503 if jwks.ErrUnavailable,
	// and otherwise with 401.
	Authorize func(app, streamID, backupID, token string) error
	// Validity returns when a player with this token must go: when
	// revoked is closed, and at until. Zero values mean never.
	// Default: never.
	Validity func(app, streamID, token string) (revoked <-chan struct{}, until time.Time)
	// ReportShare returns State.ReportShare. Default: 0.
	ReportShare func() float64
	// Session returns a channel that is closed when the session of
	// that name has ended, see signalling.EventsID. ok is false if
	// this server has no such session. Default: there are no sessions.
	Session func(name string) (ended <-chan struct{}, ok bool)
	// Reduced reports whether the viewer of the session of that name gets IDRs only. changed is
	// closed when that changes. Default: no viewer ever does.
	Reduced func(session string) (reduced bool, changed <-chan struct{})
	// BaseURLs returns the URLs at which viewers reach each pod of the pair,
	// and a channel that is closed when the URLs change. Default: none.
	BaseURLs func() (urls []string, changed <-chan struct{})
	// Role is the leg that this server ingests; empty: both.
	Role failover.Role
	// Alternate returns the base URL of the other leg's server. Players are sent there
	// when this server is full or about to end. Empty: unknown. Default: always unknown.
	Alternate func() string
	// Epoch is the zero point of the media clock.
	Epoch time.Time
	// Draining is closed when the server is about to end. Players are then
	// told to open a new connection, and new players get 503. Default: never.
	Draining <-chan struct{}
	// MaxListeners bounds the open event streams; default 4096. At the
	// bound, a stream without a session may be ended for a new one.
	MaxListeners int
	Metrics      *metrics.Metrics
}

// A Handler serves GET /{app}/events/{streamId} with two server-sent events. "state" carries
// a State, at first and on every change. "heartbeat" carries a Heartbeat, every 500 ms.
//
// With ?session=NAME the events are about one viewer's session, and end with that session.
// If the session does not exist the answer is 404, which tells the player to open a new
// one. NAME is the value of signalling.EventsHeader in the answer to the session's offer.
// The id of the session is accepted too, because pages of older servers send it.
type Handler struct {
	cfg  Config
	door *admission.Door

	mu        sync.Mutex                       // guards the next line
	following map[string][]*context.CancelFunc // by session id: the cancel functions of its event streams
}

// maxPerSession bounds the event streams of one session. These streams keep their
// places, so they must be few. A player has one, and briefly two while it reconnects.
const maxPerSession = 2

var (
	errDraining  = errors.New("the server is shutting down; reconnect")
	errNoSession = errors.New("no such session; open a new one")
	errFull      = errors.New("the server has as many players as it accepts; try again in a few seconds")
)

// NewHandler returns a Handler.
func NewHandler(cfg Config) *Handler {
	if cfg.MaxListeners == 0 {
		cfg.MaxListeners = 4096
	}
	if cfg.ReportShare == nil {
		cfg.ReportShare = func() float64 { return 0 }
	}
	if cfg.Session == nil {
		cfg.Session = func(string) (<-chan struct{}, bool) { return nil, false }
	}
	if cfg.Reduced == nil {
		cfg.Reduced = func(string) (bool, <-chan struct{}) { return false, nil }
	}
	if cfg.Validity == nil {
		cfg.Validity = func(string, string, string) (<-chan struct{}, time.Time) { return nil, time.Time{} }
	}
	if cfg.BaseURLs == nil {
		cfg.BaseURLs = func() ([]string, <-chan struct{}) { return nil, nil }
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	return &Handler{
		cfg: cfg, following: make(map[string][]*context.CancelFunc),
		door: admission.NewDoor(admission.DoorConfig{
			Name: "events", Metrics: cfg.Metrics, Limits: admission.Limits{Max: cfg.MaxListeners, MaxLeaving: cfg.MaxListeners},
		}),
	}
}

// State is what players are told about the pair that they play.
type State struct {
	StreamID       string `json:"streamId"`
	BackupStreamID string `json:"backupStreamId,omitempty"`
	// Active is Primary, Backup or, before the first picture, empty.
	Active         failover.Role `json:"active"`
	ActiveStreamID string        `json:"activeStreamId"`
	// OnAir is false while there is nothing to play.
	OnAir      bool            `json:"onAir"`
	Reason     failover.Reason `json:"reason"`
	Since      *time.Time      `json:"since,omitempty"`
	Switches   int             `json:"switches"`
	ServerTime time.Time       `json:"serverTime"`
	Legs       []LegState      `json:"legs"`
	Warnings   []LegWarning    `json:"warnings"`
	// Draining says that the server is about to end. The player
	// must open a new connection while the old one still plays.
	Draining bool `json:"draining,omitempty"`
	// BaseURLs are the URLs of the pods, the primary's first, without a slash
	// at the end. A player looks for the pair there if its own pod dies.
	BaseURLs []string `json:"baseURLs"`
	// ServedBy is the leg whose pod serves the requested session. It is
	// empty if no session was requested, or if one server has both legs.
	ServedBy failover.Role `json:"servedBy"`
	// Reduced says that the requested session gets IDRs only, because too many packets are lost on
	// the way to it. All pictures return by themselves when that ends.
	Reduced bool `json:"reduced,omitempty"`
	// ReportShare is the share of players, from 0 to 1, that are to report what their viewers see, see
	// package qoe. A player decides once, by chance, whether it is one of them.
	ReportShare float64 `json:"reportShare,omitempty"`
}

// LegState is the state of one leg.
type LegState struct {
	Role     failover.Role `json:"role"`
	StreamID string        `json:"streamId"`
	Live     bool          `json:"live"`
	Rank     string        `json:"rank"`
	// SampleAspect is a pixel's width divided by its height, if that is not 1. WebRTC
	// receivers ignore this value in the stream, so the player must stretch the picture.
	SampleAspect float64 `json:"sampleAspect,omitempty"`
}

// LegWarning is a warning about one leg's stream.
type LegWarning struct {
	Role failover.Role `json:"role"`
	stream.Warning
}

// Heartbeat says that the server is alive.
type Heartbeat struct {
	Now time.Time `json:"now"`
}

// Register mounts the events.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.Handle("GET /{app}/events/{streamId}", h)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Link, Retry-After")
	f, ok := h.admit(w, r)
	if !ok {
		return
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	from := admission.NetworkOf(admission.AddressOf(r.RemoteAddr))
	place, err := h.door.Enter(from, end)
	if err != nil {
		h.sendElsewhere(w, "5", "too_many_listeners", errFull)
		return
	}
	defer place.Leave()
	place.Serve()
	if f.ended != nil { // the player's viewer session is on this server
		place.Hold()
		defer admission.Hold(ctx)()
		defer h.replace(f.session, &end)()
	}
	pair, release, err := h.cfg.Open(from, r.PathValue("app"), f.state.StreamID, f.state.BackupStreamID)
	if err != nil {
		if stream.IsUnknown(err) {
			h.refuse(w, "unknown_stream", http.StatusNotFound, err)
			return
		}
		h.sendElsewhere(w, "5", "pair", err)
		return
	}
	defer release()
	f.pair = pair
	s := sse.NewStream(w, r)
	if err := h.follow(ctx, s, f); errors.Is(err, sse.ErrStalled) {
		h.cfg.Metrics.ReadersStalled.WithLabelValues("events").Inc()
		s.Abandon(r)
	}
}

// replace notes an event stream of a session, and ends the
// oldest if there are too many. forget removes the stream again.
func (h *Handler) replace(session string, end *context.CancelFunc) (forget func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := append(h.following[session], end)
	if len(all) > maxPerSession {
		(*all[0])()
		all = all[1:]
	}
	h.following[session] = all
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.following[session] = slices.DeleteFunc(h.following[session], func(one *context.CancelFunc) bool { return one == end })
		if len(h.following[session]) == 0 {
			delete(h.following, session)
		}
	}
}

// sendElsewhere refuses a player, so that another server
// gets the player's next attempt on a new connection.
func (h *Handler) sendElsewhere(w http.ResponseWriter, after, reason string, err error) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", after)
	signalling.LinkAlternate(w, h.cfg.Alternate())
	h.refuse(w, reason, http.StatusServiceUnavailable, err)
}

// admit decides whether a player may follow, and what.
// If the player may not, admit answers the request.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (following, bool) {
	query := r.URL.Query()
	f := following{
		draining: h.cfg.Draining,
		state:    State{StreamID: r.PathValue("streamId"), BackupStreamID: query.Get("backupStreamId")},
	}
	select {
	case <-f.draining:
		f.draining, f.state.Draining = nil, true
	default:
	}
	switch err := h.cfg.Authorize(r.PathValue("app"), f.state.StreamID, f.state.BackupStreamID, signalling.Token(r)); {
	case stream.IsUnknown(err):
		h.refuse(w, "unknown_stream", http.StatusNotFound, err)
		return f, false
	case errors.Is(err, jwks.ErrUnavailable):
		h.sendElsewhere(w, "5", "no_keys", err)
		return f, false
	case err != nil:
		h.refuse(w, "unauthorized", http.StatusUnauthorized, err)
		return f, false
	}
	revoked, until := h.cfg.Validity(r.PathValue("app"), f.state.StreamID, signalling.Token(r))
	if session := query.Get("session"); session != "" {
		ended, ok := h.cfg.Session(session)
		if !ok {
			h.refuse(w, "unknown_session", http.StatusNotFound, errNoSession)
			return f, false
		}
		// The session ends when its token does, and may have been given another.
		f.session, f.ended, f.state.ServedBy, f.revoked = session, ended, h.cfg.Role, revoked
		return f, true
	}
	f.revoked, f.until = revoked, until
	if f.state.Draining {
		h.sendElsewhere(w, "1", "draining", errDraining)
		return f, false
	}
	return f, true
}

func (h *Handler) refuse(w http.ResponseWriter, reason string, code int, err error) {
	h.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	http.Error(w, err.Error(), code)
}

// following is what one player follows.
type following struct {
	pair *failover.Pair
	// revoked is closed when the player must be disconnected; may be nil.
	revoked <-chan struct{}
	// until is when the player must be disconnected; zero: never.
	until time.Time
	// session is the id of the player's session; empty: the player named none.
	session string
	// ended is closed when the player's session ends; nil: the player named none.
	ended <-chan struct{}
	// draining is nil once the player has been told.
	draining <-chan struct{}
	state    State
}

// follow sends the pair's state until the player disconnects, or its session or the pair
// ends. When the pair ends the player asks again, and is told about the new pair. A server
// that is about to end keeps the events of sessions, because the sessions go on too.
//
// follow returns why the player cannot be told more; nil: there is nothing more to tell.
func (h *Handler) follow(ctx context.Context, s *sse.Stream, f following) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if !f.until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.until)
		defer cancel()
	}
	for {
		baseURLs, moved := h.cfg.BaseURLs()
		status, changed := f.pair.Watch()
		f.state.BaseURLs, f.state.ReportShare = append([]string{}, baseURLs...), h.cfg.ReportShare()
		var reduction <-chan struct{}
		if f.session != "" {
			f.state.Reduced, reduction = h.cfg.Reduced(f.session)
		}
		if err := s.Send("state", h.state(f.state, status)); err != nil {
			return err
		}
		if f.state.Draining && f.ended == nil {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-f.pair.Done():
				return nil
			case <-f.ended:
				return nil
			case <-f.revoked:
				return nil
			case <-f.draining:
				f.draining, f.state.Draining = nil, true
				waiting = false
			case <-changed:
				waiting = false
			case <-moved:
				waiting = false
			case <-reduction:
				waiting = false
			case now := <-beat.C:
				if err := s.Send("heartbeat", Heartbeat{now.UTC()}); err != nil {
					return err
				}
			}
		}
	}
}

func (h *Handler) state(state State, status failover.Status) State {
	state.Active, state.ActiveStreamID = status.Active, status.ActiveStreamID
	state.OnAir, state.Reason, state.Switches = status.OnAir, status.Reason, status.Switches
	state.ServerTime = time.Now().UTC()
	state.Legs, state.Warnings = []LegState{}, []LegWarning{}
	if status.Active != "" {
		since := h.cfg.Epoch.Add(status.Since).UTC()
		state.Since = &since
	}
	for _, l := range status.Legs {
		state.Legs = append(state.Legs, LegState{l.Role, l.StreamID, l.Live, l.Rank.String(), l.SampleAspect})
		for _, w := range l.Warnings {
			state.Warnings = append(state.Warnings, LegWarning{l.Role, w})
		}
	}
	return state
}
