package control

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

// heartbeat is how often players hear from the server: two missed ones tell them that
// it is gone long before any time-out of TCP or ICE does.
const heartbeat = 500 * time.Millisecond

// EventsConfig configures Events.
type EventsConfig struct {
	// Open gives the pair behind a play URL, for a player of that network; release is called
	// when the player has gone.
	// An error's text is shown to the viewer, with 404 for an access.ErrUnknownStream and
	// else 503.
	Open func(from netip.Prefix, app, streamID, backupID string) (pair *failover.Pair, release func(), err error)
	// Authorize says whether the token may play; an error's text is shown to the viewer,
	// with 404 for an access.ErrUnknownStream and else 401.
	Authorize func(app, streamID, backupID, token string) error
	// Revoked returns a channel that is closed when whoever follows with this token must go.
	// Default: nil, and nobody must.
	Revoked func(app, streamID, token string) <-chan struct{}
	// Session returns a channel that is closed when the session of that name has ended, see
	// signalling.EventsID; it is not ok if there is no such session here. Default: there is
	// none.
	Session func(name string) (ended <-chan struct{}, ok bool)
	// BaseURLs returns the URLs under which viewers reach each pod of the pair, and a
	// channel that is closed when they change. Default: none.
	BaseURLs func() (urls []string, changed <-chan struct{})
	// Role is the leg that this server ingests; empty: both.
	Role failover.Role
	// Alternate returns the base URL of the other leg's server, for players who come when
	// this one is full or about to end; empty: none is known. Default: none.
	Alternate func() string
	// Epoch is the zero of the media clock.
	Epoch time.Time
	// Draining is closed when the server is about to end: players are told to open their
	// connection anew, and new ones get 503. Default: never.
	Draining <-chan struct{}
	// MaxListeners bounds the open event streams; default 4096. When there are so many, one
	// without a session may end for a newcomer.
	MaxListeners int
	Metrics      *metrics.Metrics
}

// Events serves GET /{app}/events/{streamId}: server-sent events "state" (State, at
// first and on every change) and "heartbeat" (Heartbeat, every 500 ms).
//
// With ?session=NAME they are those of one viewer's session, and end with it: where it does
// not exist the answer is 404, so the player learns that it must open another one. NAME is
// what the answer to the session's offer has in signalling.EventsHeader. The id of the
// session is taken too, as pages of older servers send it.
type Events struct {
	cfg  EventsConfig
	door *admission.Door

	mu        sync.Mutex                       // guards the next line
	following map[string][]*context.CancelFunc // what ends each event stream of a session, by its id
}

// maxPerSession bounds the event streams of one session. They keep their places, so there must
// not be many. A player has one, and for a moment two when it connects again.
const maxPerSession = 2

var (
	errDraining  = errors.New("the server is shutting down; reconnect")
	errNoSession = errors.New("no such session; open a new one")
	errFull      = errors.New("the server has as many players as it accepts; try again in a few seconds")
)

// NewEvents returns the handler.
func NewEvents(cfg EventsConfig) *Events {
	if cfg.MaxListeners == 0 {
		cfg.MaxListeners = 4096
	}
	if cfg.Session == nil {
		cfg.Session = func(string) (<-chan struct{}, bool) { return nil, false }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string, string, string) <-chan struct{} { return nil }
	}
	if cfg.BaseURLs == nil {
		cfg.BaseURLs = func() ([]string, <-chan struct{}) { return nil, nil }
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	return &Events{
		cfg: cfg, following: make(map[string][]*context.CancelFunc),
		door: admission.NewDoor(admission.DoorConfig{
			Name: "events", Metrics: cfg.Metrics, Limits: admission.Limits{Max: cfg.MaxListeners, MaxLeaving: cfg.MaxListeners},
		}),
	}
}

// State is what players are told about the pair they play.
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
	// Draining says that the server is about to end: open the connection anew, while this
	// one still plays.
	Draining bool `json:"draining,omitempty"`
	// BaseURLs are the pods' own, the primary's first, without a slash at the end, where a
	// player finds the pair if this one dies.
	BaseURLs []string `json:"baseURLs"`
	// ServedBy is the leg whose pod serves the session that was asked for; empty: none was,
	// or one server has both legs.
	ServedBy failover.Role `json:"servedBy"`
}

// LegState is the state of one leg.
type LegState struct {
	Role     failover.Role `json:"role"`
	StreamID string        `json:"streamId"`
	Live     bool          `json:"live"`
	Rank     string        `json:"rank"`
	// SampleAspect is the width of a pixel over its height, where it is not 1. WebRTC
	// receivers ignore what the stream says of it, so that the player has to stretch the
	// picture.
	SampleAspect float64 `json:"sampleAspect,omitempty"`
}

// LegWarning is a warning about one leg's stream.
type LegWarning struct {
	Role failover.Role `json:"role"`
	stream.Warning
}

// Heartbeat says that the server is there.
type Heartbeat struct {
	Now time.Time `json:"now"`
}

// Register mounts the handler.
func (e *Events) Register(mux *http.ServeMux) {
	mux.Handle("GET /{app}/events/{streamId}", e)
}

func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Link, Retry-After")
	f, ok := e.admit(w, r)
	if !ok {
		return
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	from := admission.NetworkOf(admission.AddressOf(r.RemoteAddr))
	place, err := e.door.Enter(from, end)
	if err != nil {
		e.sendElsewhere(w, "5", "too_many_listeners", errFull)
		return
	}
	defer place.Leave()
	place.Serve()
	if f.ended != nil { // its viewer watches here
		place.Hold()
		defer admission.Hold(ctx)()
		defer e.replace(f.session, &end)()
	}
	pair, release, err := e.cfg.Open(from, r.PathValue("app"), f.state.StreamID, f.state.BackupStreamID)
	if err != nil {
		if errors.Is(err, access.ErrUnknownStream) {
			e.refuse(w, "unknown_stream", http.StatusNotFound, err)
			return
		}
		e.sendElsewhere(w, "5", "pair", err)
		return
	}
	defer release()
	f.pair = pair
	s := newEventStream(w, r)
	if err := e.follow(ctx, s, f); errors.Is(err, errStalled) {
		e.cfg.Metrics.ReadersStalled.WithLabelValues("events").Inc()
		s.abandon(r)
	}
}

// replace notes an event stream of a session, and ends the oldest if there are too many. What
// it returns forgets the stream.
func (e *Events) replace(session string, end *context.CancelFunc) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(e.following[session], end)
	if len(all) > maxPerSession {
		(*all[0])()
		all = all[1:]
	}
	e.following[session] = all
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.following[session] = slices.DeleteFunc(e.following[session], func(one *context.CancelFunc) bool { return one == end })
		if len(e.following[session]) == 0 {
			delete(e.following, session)
		}
	}
}

// sendElsewhere refuses a player. Another server takes its next attempt, on another connection.
func (e *Events) sendElsewhere(w http.ResponseWriter, after, reason string, err error) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", after)
	signalling.LinkAlternate(w, e.cfg.Alternate())
	e.refuse(w, reason, http.StatusServiceUnavailable, err)
}

// admit says whether a player may follow, and what. If not it is answered.
func (e *Events) admit(w http.ResponseWriter, r *http.Request) (following, bool) {
	query := r.URL.Query()
	f := following{
		draining: e.cfg.Draining,
		revoked:  e.cfg.Revoked(r.PathValue("app"), r.PathValue("streamId"), signalling.Token(r)),
		state:    State{StreamID: r.PathValue("streamId"), BackupStreamID: query.Get("backupStreamId")},
	}
	select {
	case <-f.draining:
		f.draining, f.state.Draining = nil, true
	default:
	}
	switch err := e.cfg.Authorize(r.PathValue("app"), f.state.StreamID, f.state.BackupStreamID, signalling.Token(r)); {
	case errors.Is(err, access.ErrUnknownStream):
		e.refuse(w, "unknown_stream", http.StatusNotFound, err)
		return f, false
	case err != nil:
		e.refuse(w, "unauthorized", http.StatusUnauthorized, err)
		return f, false
	}
	if session := query.Get("session"); session != "" {
		ended, ok := e.cfg.Session(session)
		if !ok {
			e.refuse(w, "unknown_session", http.StatusNotFound, errNoSession)
			return f, false
		}
		f.session, f.ended, f.state.ServedBy = session, ended, e.cfg.Role
		return f, true
	}
	if f.state.Draining {
		e.sendElsewhere(w, "1", "draining", errDraining)
		return f, false
	}
	return f, true
}

func (e *Events) refuse(w http.ResponseWriter, reason string, code int, err error) {
	e.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	http.Error(w, err.Error(), code)
}

// following is what one player follows.
type following struct {
	pair *failover.Pair
	// revoked is closed when the player must go; may be nil.
	revoked <-chan struct{}
	// session is the id of the player's session; empty: it named none.
	session string
	// ended is closed when the player's session ends; nil: it named none.
	ended <-chan struct{}
	// draining is nil once the player was told.
	draining <-chan struct{}
	state    State
}

// follow sends the pair's state until the player goes away, its session ends, or the pair
// does: the player then asks again, and is told about the pair that took its place. A
// server that is about to end keeps the events of sessions, for they go on too.
//
// It returns why the player can't be told any more; nil: there is nothing more to tell.
func (e *Events) follow(ctx context.Context, s *eventStream, f following) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		baseURLs, moved := e.cfg.BaseURLs()
		status, changed := f.pair.Watch()
		f.state.BaseURLs = append([]string{}, baseURLs...)
		if err := s.send("state", e.state(f.state, status)); err != nil {
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
			case now := <-beat.C:
				if err := s.send("heartbeat", Heartbeat{now.UTC()}); err != nil {
					return err
				}
			}
		}
	}
}

func (e *Events) state(state State, status failover.Status) State {
	state.Active, state.ActiveStreamID = status.Active, status.ActiveStreamID
	state.OnAir, state.Reason, state.Switches = status.OnAir, status.Reason, status.Switches
	state.ServerTime = time.Now().UTC()
	state.Legs, state.Warnings = []LegState{}, []LegWarning{}
	if status.Active != "" {
		since := e.cfg.Epoch.Add(status.Since).UTC()
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
