package control

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// heartbeat is how often players hear from the server: two missed ones tell them that
// it is gone long before any time-out of TCP or ICE does.
const heartbeat = 500 * time.Millisecond

// EventsConfig configures Events.
type EventsConfig struct {
	// Open gives the pair behind a play URL; release is called when the player has gone.
	// An error's text is shown to the viewer, with 404 for an access.ErrUnknownStream and
	// else 503.
	Open func(app, streamID, backupID string) (pair *failover.Pair, release func(), err error)
	// Authorize says whether the token may play; an error's text is shown to the viewer,
	// with 404 for an access.ErrUnknownStream and else 401.
	Authorize func(app, streamID, backupID, token string) error
	// Epoch is the zero of the media clock.
	Epoch time.Time
	// Draining is closed when the server is about to end: players are told to open their
	// connection anew, and new ones get 503. Default: never.
	Draining <-chan struct{}
	// MaxListeners bounds the open event streams; default 4096.
	MaxListeners int
	Metrics      *metrics.Metrics
}

// Events serves GET /{app}/events/{streamId}: server-sent events "state" (State, at
// first and on every change) and "heartbeat" (Heartbeat, every 500 ms).
type Events struct {
	cfg       EventsConfig
	listeners atomic.Int64
}

var errDraining = errors.New("the server is shutting down; reconnect")

// NewEvents returns the handler.
func NewEvents(cfg EventsConfig) *Events {
	if cfg.MaxListeners == 0 {
		cfg.MaxListeners = 4096
	}
	return &Events{cfg: cfg}
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
	// BaseURLs are the pods' own, where a player finds the pair if this one dies.
	BaseURLs []string `json:"baseURLs"`
}

// LegState is the state of one leg.
type LegState struct {
	Role     failover.Role `json:"role"`
	StreamID string        `json:"streamId"`
	Live     bool          `json:"live"`
	Rank     string        `json:"rank"`
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
	app, streamID := r.PathValue("app"), r.PathValue("streamId")
	query := r.URL.Query()
	backupID := query.Get("backupStreamId")
	if err := e.cfg.Authorize(app, streamID, backupID, query.Get("token")); err != nil {
		if errors.Is(err, access.ErrUnknownStream) {
			e.refuse(w, "unknown_stream", http.StatusNotFound, err)
		} else {
			e.refuse(w, "unauthorized", http.StatusUnauthorized, err)
		}
		return
	}
	select {
	case <-e.cfg.Draining:
		// Another server takes the next attempt, on another connection.
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		e.refuse(w, "draining", http.StatusServiceUnavailable, errDraining)
		return
	default:
	}
	if e.listeners.Add(1) > int64(e.cfg.MaxListeners) {
		e.listeners.Add(-1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "The server has as many players as it accepts; try again in a few seconds.", http.StatusServiceUnavailable)
		e.cfg.Metrics.HTTPRequestRefusal.WithLabelValues("too_many_listeners").Inc()
		return
	}
	defer e.listeners.Add(-1)
	pair, release, err := e.cfg.Open(app, streamID, backupID)
	if err != nil {
		if errors.Is(err, access.ErrUnknownStream) {
			e.refuse(w, "unknown_stream", http.StatusNotFound, err)
			return
		}
		w.Header().Set("Retry-After", "5")
		e.refuse(w, "pair", http.StatusServiceUnavailable, err)
		return
	}
	defer release()
	e.follow(newEventStream(w), r, pair, State{StreamID: streamID, BackupStreamID: backupID})
}

func (e *Events) refuse(w http.ResponseWriter, reason string, code int, err error) {
	e.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	http.Error(w, err.Error(), code)
}

// follow sends the pair's state until the player goes away, or the pair ends: the player
// then asks again, and is told about the pair that took its place.
func (e *Events) follow(s *eventStream, r *http.Request, pair *failover.Pair, state State) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		status, changed := pair.Watch()
		if s.send("state", e.state(state, status)) != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-r.Context().Done():
				return
			case <-pair.Done():
				return
			case <-e.cfg.Draining:
				state.Draining = true
				_ = s.send("state", e.state(state, pair.Status()))
				return
			case <-changed:
				waiting = false
			case now := <-beat.C:
				if s.send("heartbeat", Heartbeat{now.UTC()}) != nil {
					return
				}
			}
		}
	}
}

func (e *Events) state(state State, status failover.Status) State {
	state.Active, state.ActiveStreamID = status.Active, status.ActiveStreamID
	state.OnAir, state.Reason, state.Switches = status.OnAir, status.Reason, status.Switches
	state.ServerTime = time.Now().UTC()
	state.Legs, state.Warnings, state.BaseURLs = []LegState{}, []LegWarning{}, []string{}
	if status.Active != "" {
		since := e.cfg.Epoch.Add(status.Since).UTC()
		state.Since = &since
	}
	for _, l := range status.Legs {
		state.Legs = append(state.Legs, LegState{l.Role, l.StreamID, l.Live, l.Rank.String()})
		for _, w := range l.Warnings {
			state.Warnings = append(state.Warnings, LegWarning{l.Role, w})
		}
	}
	return state
}
