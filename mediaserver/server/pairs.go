package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode"
)

const (
	// onDemandLinger is how long a pair made from a viewer's URL stays while nobody uses it.
	onDemandLinger = 30 * time.Second
	// watchedInterval is the shortest time between two checks which of these pairs are watched.
	watchedInterval = 100 * time.Millisecond
)

var (
	errTooManyPairs = errors.New("the server plays as many streams as it accepts; try again in a few seconds")
)

// A declaration is a pair that a manifest declares.
type declaration struct {
	failover.PairKey
	Name   string
	Policy failover.Policy
	Paused bool
}

// pairs holds the running pairs: the declared pairs, and those made on demand.
type pairs struct {
	registry    *stream.Registry
	memory      *budget.Budget
	views       *transcode.Views
	egress      *rtc.Egress
	policy      failover.Policy // of pairs made on demand
	packetBytes int             // see rtc.OutputConfig.PacketSize
	hasPeer     bool            // another server plays the declared pairs too
	onChange    func()
	log         *slog.Logger
	heldUp      *failover.HeldUpLog
	metrics     *metrics.Metrics
	recovery    *recovery.Recovery

	// door has the places of pairs made on demand. A pair that
	// somebody watches keeps its place. mu must be held when entering.
	door *admission.Door

	running sync.WaitGroup

	mu      recovery.Mutex // guards all below
	closed  bool
	open    map[failover.PairKey]*runningPair
	watched time.Time // when pairs were last checked for viewers
	// ending has, by name, a channel that is closed
	// once the last closed pair of that name has ended.
	ending map[string]<-chan struct{}
}

// A runningPair is one pair with its output.
type runningPair struct {
	key    failover.PairKey
	name   string
	pair   *failover.Pair
	output *rtc.Output
	views  []*transcode.View
	stop   context.CancelFunc
	// declared is only changed while pairs.mu is held.
	declared atomic.Bool
	// servesHLS reports whether somebody watches the pair by HLS.
	servesHLS atomic.Bool

	// Guarded by pairs.mu:
	users      int
	idleSince  time.Time
	place      *admission.Place // nil: the pair is declared
	keepsPlace bool             // keeps its place, because somebody watches
}

// run closes unused pairs until ctx ends, and then closes all.
func (p *pairs) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.closed = true
			for _, r := range p.open {
				p.close(r)
			}
			p.mu.Unlock()
			p.running.Wait()
			return ctx.Err()
		case now := <-tick.C:
			p.memory.Shed()
			p.mu.Lock()
			p.holdWatched(now)
			for _, r := range p.open {
				if !r.declared.Load() && r.users == 0 && now.Sub(r.idleSince) > onDemandLinger {
					p.close(r)
				}
			}
			p.mu.Unlock()
		}
	}
}

// acquire returns the pair of a play URL. If there is none,
// acquire makes it on demand for a client of that network.
func (p *pairs) acquire(from netip.Prefix, app, primary, backup string) (*runningPair, func(), error) {
	key := failover.PairKey{App: app, Primary: primary, Backup: backup}
	if !key.Stream(failover.Primary).Valid() || backup != "" && !key.Stream(failover.Backup).Valid() {
		return nil, nil, stream.ErrInvalidStreamID
	}
	if primary == backup {
		return nil, nil, stream.ErrSameStream
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.open[key]
	if r == nil {
		p.holdWatched(time.Now())
		place, err := p.door.Enter(from, func() { p.close(r) })
		if err != nil {
			return nil, nil, errTooManyPairs
		}
		if r = p.start(declaration{PairKey: key, Name: key.String(), Policy: p.policy}, false); r == nil {
			place.Leave()
			return nil, nil, stream.ErrShuttingDown
		}
		r.place = place
	}
	r.users++
	if r.place != nil {
		r.place.Serve()
	}
	release := sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		r.users--
		r.idleSince = time.Now()
		if r.place != nil && r.users == 0 {
			r.place.Wait()
		}
	})
	return r, release, nil
}

// holdWatched lets each pair made on demand keep its place if somebody watches it now. It
// checks at most once in watchedInterval, however many clients ask for pairs. p.mu is held.
func (p *pairs) holdWatched(now time.Time) {
	if now.Sub(p.watched) < watchedInterval {
		return
	}
	p.watched = now
	for _, r := range p.open {
		if r.place == nil {
			continue
		}
		switch watched := r.output.IsWatched() || r.servesHLS.Load(); {
		case watched && !r.keepsPlace:
			r.place.Hold()
		case !watched && r.keepsPlace:
			r.place.Release()
		default:
			continue
		}
		r.keepsPlace = !r.keepsPlace
	}
}

// undeclare turns a declared pair into one made on
// demand, which counts for no network. p.mu is held.
func (p *pairs) undeclare(r *runningPair) {
	r.declared.Store(false)
	r.idleSince = time.Now()
	r.pair.SetPolicy(p.policy)
	place, err := p.door.Enter(netip.Prefix{}, func() { p.close(r) })
	if err != nil {
		p.close(r)
		return
	}
	r.place = place
	if r.users > 0 {
		r.place.Serve()
	}
}

// releasePlace gives back the place of a pair made on demand, if the pair has one. p.mu is held.
func (p *pairs) releasePlace(r *runningPair) {
	if r.place != nil {
		r.place.Leave()
		r.place, r.keepsPlace = nil, false
	}
}

// declare replaces the declared pairs. A pair whose
// streams stay the same keeps playing. A paused pair ends.
func (p *pairs) declare(declared []declaration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted, names := make(map[failover.PairKey]declaration), make(map[string]bool)
	for _, d := range declared {
		wanted[d.PairKey] = d
		names[d.Name] = true
	}
	for key, r := range p.open {
		d, named := wanted[key]
		switch {
		case named && !d.Paused && d.Name == r.name:
		case named || names[r.name]: // two pairs of one name would share metrics
			p.close(r)
		case r.declared.Load():
			p.undeclare(r)
		}
	}
	for _, d := range declared {
		r := p.open[d.PairKey]
		switch {
		case d.Paused:
		case r == nil:
			p.start(d, true)
		default:
			p.releasePlace(r)
			r.declared.Store(true)
			r.pair.SetPolicy(d.Policy)
		}
	}
}

// start runs a new pair. It returns nil if the server is shutting down. p.mu is held.
func (p *pairs) start(d declaration, declared bool) *runningPair {
	if p.closed {
		return nil
	}
	r := &runningPair{key: d.PairKey, name: d.Name, idleSince: time.Now()}
	r.declared.Store(declared)
	ctx, cancel := context.WithCancel(context.Background()) // until close
	r.stop = cancel
	var streams []*stream.Stream
	leg := func(role failover.Role) failover.Source {
		one := p.registry.Stream(d.Stream(role))
		streams = append(streams, one)
		v := p.views.Open(one)
		r.views = append(r.views, v)
		return v
	}
	log := p.log.With("pair", d.Name)
	cfg := failover.PairConfig{
		Name: d.Name, PrimaryID: d.Primary, BackupID: d.Backup, Policy: d.Policy,
		Primary: leg(failover.Primary), OnChange: p.onChange, Logger: p.log, HeldUp: p.heldUp, Metrics: p.metrics, Recovery: p.recovery,
		NewAudio: func(emit func(at, duration time.Duration, opus []byte)) failover.Audio {
			return transcode.NewAudio(transcode.AudioConfig{Emit: emit, Logger: log})
		},
	}
	if d.Backup != "" {
		cfg.HasPeer = p.hasPeer && declared
		cfg.Backup = leg(failover.Backup)
	}
	r.output = rtc.NewOutput(rtc.OutputConfig{
		Name: d.Name, Now: p.registry.Now, Egress: p.egress, Budget: p.memory, Logger: log, Metrics: p.metrics, Recovery: p.recovery,
		PacketSize: p.packetBytes,
		RequestIDR: func() bool { return r.pair.RequestIDR() },
		SPS:        func() []byte { return firstSPS(streams) },
		Declared: func() bool {
			return !slices.ContainsFunc(streams, func(s *stream.Stream) bool { return !s.Declared() })
		},
	})
	cfg.Output = r.output
	r.pair = failover.NewPair(cfg)
	p.open[d.PairKey] = r
	p.running.Go(func() { _ = r.output.Run(ctx) })
	before := p.ending[d.Name]
	p.running.Go(func() {
		if before != nil {
			<-before // its end removes the metrics of that name, which r sets when it begins
		}
		_ = r.pair.Run(ctx)
		p.forget(r)
		for _, v := range r.views {
			v.Close()
		}
	})
	return r
}

// firstSPS returns the sequence parameter set of the
// first stream that has one; nil: no stream has one.
func firstSPS(streams []*stream.Stream) []byte {
	for _, s := range streams {
		if f := s.Snapshot().Video.Format; f != nil && len(f.SPS) > 0 {
			return f.SPS
		}
	}
	return nil
}

// close ends r. p.mu is held.
func (p *pairs) close(r *runningPair) {
	delete(p.open, r.key)
	p.releasePlace(r)
	p.ending[r.name] = r.pair.Done()
	r.stop()
}

// forget notes that r has ended.
func (p *pairs) forget(r *runningPair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending[r.name] == r.pair.Done() {
		delete(p.ending, r.name)
	}
}

// all returns the running pairs, by name.
func (p *pairs) all() []*runningPair {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*runningPair
	for _, r := range p.open {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *runningPair) int { return cmp.Compare(a.name, b.name) })
	return out
}

// onAir reports whether the pair of a play URL has media. changed is closed when that may have
// changed; nil: there is no such pair now.
func (p *pairs) onAir(app, primary, backup string) (onAir bool, changed <-chan struct{}) {
	r := p.opened(failover.PairKey{App: app, Primary: primary, Backup: backup})
	if r == nil {
		return false, nil
	}
	status, changed := r.pair.Watch()
	return status.OnAir, changed
}

// opened returns the pair of a key; nil: there is none now.
func (p *pairs) opened(key failover.PairKey) *runningPair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[key]
}

// declaredPair returns the declared pair of that name; nil: there is none.
func (p *pairs) declaredPair(name string) *runningPair {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.open {
		if r.declared.Load() && r.name == name {
			return r
		}
	}
	return nil
}

// selectLeg pins a leg of a pair. selection is Auto, Primary or Backup.
func (r *runningPair) selectLeg(selection string) error {
	policy := r.pair.Policy()
	switch selection {
	case "Auto":
		policy.Select = ""
	case string(failover.Primary), string(failover.Backup):
		policy.Select = failover.Role(selection)
	default:
		return fmt.Errorf("select must be Auto, Primary or Backup, not %q", selection)
	}
	r.pair.SetPolicy(policy)
	return nil
}
