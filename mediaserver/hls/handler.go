package hls

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// darkHold is how long a request is held while nobody publishes. A bare 404 makes some players
	// ask without a pause.
	darkHold = 5 * time.Second
	// coldHold is how much longer a request is held while a live stream has no whole segment yet.
	coldHold = maxTarget + 5*time.Second
	// restart is how often a kept playlist that has ended is started again.
	restart = time.Second
	// goneAfter is how long after the last request the players of a playlist count as gone.
	goneAfter = 2 * time.Second
	// inboxSize is how many messages of peers are queued.
	inboxSize = 64
	// lingerEmpty and leastLinger are how long a programme without and with media goes on when
	// nobody asks.
	lingerEmpty = 10 * time.Second
	leastLinger = 30 * time.Second
)

// A Mode says when playlists are made.
type Mode int

// The modes.
const (
	// OnDemand makes a playlist while somebody asks for it.
	OnDemand Mode = iota
	// Always is for playlists that are made all the time: see Handler.Keep.
	Always
	// Off makes none.
	Off
)

// Settings say when a playlist is made, and its durations. The mode and the window count at once.
// The other durations count for playlists that begin later.
type Settings struct {
	Mode Mode
	// Segment is the least duration of a segment; an IDR ends it. Default 2 s.
	Segment time.Duration
	// Part is the duration of a part, rounded up to whole pictures; default 250 ms.
	Part time.Duration
	// Window is how much media a playlist has; default 30 s. It is at least six target durations.
	Window time.Duration
}

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{Segment: 2 * time.Second, Part: 250 * time.Millisecond, Window: 30 * time.Second}
}

// Limits bound what strangers can cause. 0 means no limit.
type Limits struct {
	// Programmes bounds the playlists that are made at a time.
	Programmes int
	// Waiting bounds the requests that wait, and WaitingPerNetwork those of one address.
	Waiting, WaitingPerNetwork int
}

// DefaultLimits returns the defaults.
func DefaultLimits() Limits { return Limits{Programmes: 256, Waiting: 5000, WaitingPerNetwork: 1024} }

// A Pair is a pair that a programme follows.
type Pair struct {
	Pair *failover.Pair
	// Watched is told whether somebody watches.
	Watched func(bool)
	// Release is called when the pair is not needed any more.
	Release func()
}

// Config configures a Handler.
type Config struct {
	// BootID is part of all names: letters and digits, new at every start of the server. Required.
	BootID string
	// Registry has the streams. Required.
	Registry *stream.Registry
	// OpenPair returns a pair, for a player in that network. The error's text is shown to the
	// player, with 404 if stream.IsUnknown and otherwise with 503. Required.
	OpenPair func(from netip.Prefix, key failover.PairKey) (Pair, error)
	// PairOf returns the pair that a player gets who asks for a stream and names no backup. ok is
	// false if the player gets the stream alone. Default: always the stream alone.
	PairOf func(app, streamID string) (key failover.PairKey, ok bool)
	// Authorize checks whether the token lets a viewer play. The error's text is shown to the
	// viewer, with 404 if stream.IsUnknown and otherwise with 401. Required.
	Authorize func(app, streamID, backupID, token string) error
	// Peers are the servers that answer the same players, so all serve the same playlists. Default:
	// there are none.
	Peers *Peers
	// SettingsOf returns the settings of a playlist. Default: DefaultSettings.
	SettingsOf func(key failover.PairKey) Settings
	// Origins returns the origins of the pages that may use the cookie of a viewer. Default: none.
	Origins func(app, streamID string) []string
	// Limits; default: DefaultLimits.
	Limits *Limits
	// Budget bounds the memory of the server's caches. Required.
	Budget *budget.Budget
	// Recovery confines a panic to one programme. Default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// linger is how long a programme goes on when nobody asks: a player that has paused for a window
// must begin anew anyway.
func (c *Config) linger(target time.Duration) time.Duration {
	return max(leastLinger, leastWindow*target)
}

// A Handler serves HLS.
type Handler struct {
	cfg      Config
	waiting  *admission.Door // of requests that are held
	making   *admission.Door // of programmes
	cuts     atomic.Uint64   // publications that were cut
	ctx      context.Context //nolint:containedctx // ends the programmes, which outlive requests
	stop     context.CancelFunc
	running  sync.WaitGroup
	mu       sync.Mutex // guards all below; is locked before the mu of a programme
	closed   bool
	all      map[failover.PairKey]*programme
	byStream map[stream.Key][]*programme // by the primary's name
	kept     []failover.PairKey          // see Keep
	drained  time.Time                   // when Drain was called; zero: it was not
	// next and nextDiscontinuity are higher than the numbers of all playlists that have ended.
	next, nextDiscontinuity int64
}

// NewHandler returns a Handler. Close must be called.
func NewHandler(cfg Config) *Handler {
	if cfg.SettingsOf == nil {
		cfg.SettingsOf = func(failover.PairKey) Settings { return DefaultSettings() }
	}
	if cfg.Origins == nil {
		cfg.Origins = func(string, string) []string { return nil }
	}
	if cfg.Limits == nil {
		limits := DefaultLimits()
		cfg.Limits = &limits
	}
	if cfg.PairOf == nil {
		cfg.PairOf = func(string, string) (failover.PairKey, bool) { return failover.PairKey{}, false }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		cfg: cfg, all: make(map[failover.PairKey]*programme), byStream: make(map[stream.Key][]*programme),
		waiting: admission.NewDoor(admission.DoorConfig{Name: "hls", Metrics: cfg.Metrics, Limits: admission.Limits{
			Max: cfg.Limits.Waiting, MaxPerNetwork: cfg.Limits.WaitingPerNetwork, MaxLeaving: cfg.Limits.Waiting,
		}}),
		making: admission.NewDoor(admission.DoorConfig{
			Name: "hls_programmes", Metrics: cfg.Metrics, Limits: admission.Limits{Max: cfg.Limits.Programmes},
		}),
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.running.Go(h.keepRunning)
	return h
}

// Keep has the playlists of these pairs made all the time, whether or not somebody asks.
func (h *Handler) Keep(keys []failover.PairKey) {
	h.mu.Lock()
	h.kept = keys
	h.mu.Unlock()
	h.startKept()
}

// keepRunning starts kept playlists that have ended.
func (h *Handler) keepRunning() {
	tick := time.NewTicker(restart)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
			h.startKept()
		}
	}
}

func (h *Handler) startKept() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range h.kept {
		if h.all[key] != nil {
			continue
		}
		if _, err := h.start(netip.Prefix{}, key, time.Time{}); err != nil {
			h.cfg.Logger.Debug("a playlist cannot be made at present", "hls", key.String(), "error", err)
		}
	}
}

// isKept reports whether a playlist is made all the time.
func (h *Handler) isKept(key failover.PairKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.kept, key)
}

// Drain notes that the server is about to end. Players are told to open another connection, which
// leads to another server.
func (h *Handler) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drained = time.Now()
}

// IsNeeded reports whether a draining server is to go on for its players. They get no longer than a
// window, and a player that has gone is noticed after goneAfter.
func (h *Handler) IsNeeded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.all {
		if p.isInUse(time.Since(h.drained)) {
			return true
		}
	}
	return false
}

func (h *Handler) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.drained.IsZero()
}

// Close ends all programmes, and with them the requests that wait.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.running.Wait()
}

// Register mounts the playlists and what they name.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/streams/{file}", h.servePlaylist)
	mux.HandleFunc("GET /{app}/streams/{id}/{name}", h.servePiece)
	mux.HandleFunc("OPTIONS /{app}/streams/{file...}", h.preflight)
}

// firstNumbers returns the first media sequence number and the first discontinuity sequence number
// of a playlist that begins now.
func (h *Handler) firstNumbers() (media, discontinuity int64) {
	media, discontinuity = list.Numbers(time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(media, h.next), max(discontinuity, h.nextDiscontinuity)
}

var errTooManyProgrammes = errors.New("the server makes as many HLS playlists as it accepts; try again in a few seconds")

// programme returns the programme of a key, and notes that somebody asks for it. It starts the
// programme if there is none, for a player in that network. answered must be called.
func (h *Handler) programme(from netip.Prefix, key failover.PairKey) (p *programme, answered func(), err error) {
	if h.cfg.SettingsOf(key).Mode == Off {
		return nil, nil, errOff
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p = h.all[key]; p != nil {
		return p, p.ask(), nil
	}
	if p, err = h.start(from, key, time.Now()); err != nil {
		return nil, nil, err
	}
	return p, p.ask(), nil
}

// start starts a programme that somebody asked for at that time. h.mu must be held.
func (h *Handler) start(from netip.Prefix, key failover.PairKey, asked time.Time) (*programme, error) {
	if h.closed {
		return nil, stream.ErrShuttingDown
	}
	primary, backup := key.Stream(failover.Primary), key.Stream(failover.Backup)
	if !primary.Valid() || key.Backup != "" && !backup.Valid() {
		return nil, stream.ErrInvalidStreamID
	}
	ctx, cancel := context.WithCancel(h.ctx)
	place, err := h.making.Enter(from, cancel)
	if err != nil {
		cancel()
		return nil, errTooManyProgrammes
	}
	p := &programme{
		handler: h, key: key, stop: cancel, done: make(chan struct{}), changed: make(chan struct{}),
		source: source{streams: []*stream.Stream{h.cfg.Registry.Stream(primary)}}, log: h.cfg.Logger.With("hls", key.String()),
		texts: make(map[textKey]text), asked: asked, wanted: !asked.Before(time.Now().Add(-beat)),
		sharing: newSharing(time.Now()),
	}
	pair := Pair{Watched: func(bool) {}, Release: func() {}}
	if key.Backup != "" {
		if pair, err = h.cfg.OpenPair(from, key); err != nil {
			place.Leave()
			cancel()
			return nil, err
		}
		p.source.pair = pair.Pair
		p.source.streams = append(p.source.streams, h.cfg.Registry.Stream(backup))
	}
	p.onServing = func(serving bool) {
		pair.Watched(serving)
		if serving {
			place.Hold()
		} else {
			place.Release()
		}
	}
	p.store = newStore(h.cfg.Budget.Open(classOf(p.source.streams), p.shed), h.cfg.Metrics.HLSBytes)
	h.all[key] = p
	h.byStream[primary] = append(h.byStream[primary], p)
	h.tellPeers()
	h.cfg.Metrics.HLSProgrammes.Inc()
	h.running.Go(func() {
		_ = h.cfg.Recovery.Do("hls", func() { p.run(ctx) })
		h.forget(p)
		cancel()
		if p.serving {
			p.onServing(false)
		}
		place.Leave()
		pair.Release()
		h.cfg.Metrics.HLSProgrammes.Dec()
	})
	return p, nil
}

// tellPeers has the programmes read from the peers. h.mu must be held.
func (h *Handler) tellPeers() {
	if h.cfg.Peers != nil && !h.closed {
		h.cfg.Peers.Follow(slices.Collect(maps.Keys(h.all)))
	}
}

// classOf returns the class in which the media of these streams is charged.
func classOf(streams []*stream.Stream) budget.Class {
	for _, one := range streams {
		if !one.Declared() {
			return budget.Undeclared
		}
	}
	return budget.Histories
}

// forget removes a programme that has ended.
func (h *Handler) forget(p *programme) {
	next, nextDiscontinuity := int64(0), int64(0)
	p.mu.Lock()
	if p.list != nil {
		next, nextDiscontinuity = p.list.Next(), p.list.DiscontinuitySequence()+1
	}
	p.store.close()
	p.mu.Unlock()
	h.mu.Lock()
	h.next, h.nextDiscontinuity = max(h.next, next), max(h.nextDiscontinuity, nextDiscontinuity)
	delete(h.all, p.key)
	primary := p.key.Stream(failover.Primary)
	h.byStream[primary] = slices.DeleteFunc(h.byStream[primary], func(one *programme) bool { return one == p })
	if len(h.byStream[primary]) == 0 {
		delete(h.byStream, primary)
	}
	h.tellPeers()
	h.mu.Unlock()
	close(p.done)
}
