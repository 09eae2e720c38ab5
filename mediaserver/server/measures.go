package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A peer that does not answer is asked again after measuresRetry. One that has been away for long is
// asked less often, and at least every measuresSeldom. A peer of an earlier version measures nothing.
const measuresRetry, measuresSeldom, measuresShare = 250 * time.Millisecond, 5 * time.Second, 20

// measuring measures the legs of the declared pairs, and compares them.
type measuring struct {
	registry *stream.Registry
	reports  *measure.Reports
	// pair returns a declared pair; nil: there is none.
	pair     func(failover.PairKey) *failover.Pair
	onChange func()
	watcher  measure.WatcherConfig // of every stream
	recovery *recovery.Recovery

	running sync.WaitGroup

	mu      sync.Mutex // guards all below
	closed  bool
	watched map[stream.Key]context.CancelFunc
	pairs   map[failover.PairKey]*measuredPair
}

// measuredPair is a pair whose legs are compared.
type measuredPair struct {
	name       string
	stop       context.CancelFunc
	comparison *measure.Comparison

	// Guarded by measuring.mu:
	state measure.State
	told  toldStep
}

// openMeasuring makes what measures. follow begins.
func (s *Server) openMeasuring() *measuring {
	m := &measuring{
		registry: s.registry, reports: measure.NewReports(), pair: s.pairs.declaredPairOf, onChange: s.changes.notify,
		watcher: measure.WatcherConfig{
			Epoch: s.registry.Epoch(), FFmpegPath: s.cfg.FFmpegPath, Places: make(chan struct{}, max(s.cfg.MaxAnalysers, 0)),
			Memory: s.children, Recovery: s.recovery, Logger: s.log, Metrics: s.counters,
		},
		recovery: s.recovery,
		watched:  make(map[stream.Key]context.CancelFunc), pairs: make(map[failover.PairKey]*measuredPair),
	}
	metrics.RegisterMeasures(s.metrics, metrics.MeasuresConfig{Streams: m.metricsOfStreams, Pairs: m.metricsOfPairs})
	return m
}

// follow measures the pairs of a manifest, and no others.
func (m *measuring) follow(manifest config.Manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	streams, policies, names := make(map[stream.Key]bool), make(map[failover.PairKey]content.Policy), make(map[failover.PairKey]string)
	for i := range manifest.Pairs {
		spec := &manifest.Pairs[i].Spec
		if spec.Paused {
			continue
		}
		key := keyOf(spec)
		policies[key], names[key] = contentPolicyOf(spec.Failover.Content), manifest.Pairs[i].Name
		streams[key.Stream(failover.Primary)], streams[key.Stream(failover.Backup)] = true, true
	}
	for key, stop := range m.watched {
		if !streams[key] {
			stop()
			delete(m.watched, key)
		}
	}
	for key, p := range m.pairs {
		if _, declared := policies[key]; !declared {
			p.stop()
			delete(m.pairs, key)
		}
	}
	for key := range streams {
		if m.watched[key] == nil {
			m.watched[key] = m.watch(key)
		}
	}
	for key, policy := range policies {
		if p := m.pairs[key]; p != nil {
			p.name = names[key]
			p.comparison.SetPolicy(policy)
			m.tell(key, p.state) // the pair may have been made again
		} else {
			m.pairs[key] = m.compare(key, names[key], policy)
		}
	}
}

// watch measures a stream until stop is called.
func (m *measuring) watch(key stream.Key) (stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background()) // until stop
	cfg := m.watcher
	cfg.Stream = m.registry.Stream(key)
	cfg.Report = func(r measure.Report) { m.reports.Measured(key, r, time.Now()) }
	cfg.Thumbnail = func(_ time.Duration, jpeg []byte) {
		m.reports.SetThumbnail(key, measure.Thumbnail{Time: time.Now(), JPEG: jpeg})
	}
	m.running.Go(func() { measure.NewWatcher(cfg).Run(ctx) })
	return cancel
}

// compare compares the legs of a pair until its stop is called.
func (m *measuring) compare(key failover.PairKey, name string, policy content.Policy) *measuredPair {
	ctx, cancel := context.WithCancel(context.Background()) // until stop
	p := &measuredPair{name: name, stop: cancel}
	primary, stopPrimary := m.reports.Follow(key.Stream(failover.Primary), true)
	backup, stopBackup := m.reports.Follow(key.Stream(failover.Backup), true)
	p.comparison = measure.NewComparison(measure.ComparisonConfig{
		Legs: [2]<-chan measure.Report{primary, backup}, Policy: policy, Now: m.registry.Now, Recovery: m.recovery,
		OnChange: func(s measure.State) { m.compared(key, p, s) },
	})
	m.running.Go(func() {
		defer stopPrimary()
		defer stopBackup()
		p.comparison.Run(ctx)
	})
	return p
}

// compared takes what a comparison says.
func (m *measuring) compared(key failover.PairKey, p *measuredPair, s measure.State) {
	m.mu.Lock()
	before, told := p.state, p.told
	p.state, p.told = s, told.after(s.Step, m.registry.Now())
	changed := before.Primary != s.Primary || before.Backup != s.Backup || told.Step != p.told.Step
	m.mu.Unlock()
	m.tell(key, s)
	if changed {
		m.onChange()
	}
}

// tell tells a pair what is wrong with the content of its legs.
func (m *measuring) tell(key failover.PairKey, s measure.State) {
	if pair := m.pair(key); pair != nil {
		pair.SetContent(contentOf(s.Primary.Verdict), contentOf(s.Backup.Verdict))
	}
}

// state returns how the legs of a pair compare; ok is false if they are not compared.
func (m *measuring) state(key failover.PairKey) (s measure.State, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.pairs[key]; p != nil {
		return p.state, true
	}
	return s, false
}

// describe adds how the legs of a pair compare to its status.
func (m *measuring) describe(key failover.PairKey, p *api.Pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	measured := m.pairs[key]
	if measured == nil {
		return
	}
	step := measured.told.Step
	p.Step = &step
	for i := range p.Legs {
		leg := measured.state.Primary
		if p.Legs[i].Role == string(failover.Backup) {
			leg = measured.state.Backup
		}
		p.Legs[i].Content = &api.Content{Compared: leg.Known, NotWatched: string(leg.Unwatched), NotHeard: leg.Undecoded}
		for _, f := range content.Faults() {
			if leg.Has[f] {
				p.Legs[i].Content.Faults = append(p.Legs[i].Content.Faults, f.String())
			}
		}
	}
}

// toldStep is the step that is told in status. It must not change often: each change is written to
// the Kubernetes API.
type toldStep struct {
	api.Step
	at time.Duration
}

// A change of the offset is told if it is of leastStep or more, at most once in tellStepEvery. Why it is
// unknown is in no condition, and is told at once.
const leastStep, tellStepEvery = 100 * time.Millisecond, time.Minute

// after returns what is told at now.
func (t toldStep) after(s measure.Step, now time.Duration) toldStep {
	next := toldStep{at: now, Step: api.Step{Known: s.Known, OffsetMilliseconds: s.Offset.Round(leastStep).Milliseconds()}}
	if !s.Known {
		next.Step = api.Step{Doubt: string(s.Doubt)}
	}
	moved := time.Duration(t.OffsetMilliseconds)*time.Millisecond - s.Offset
	if s.Known && t.Known && (now < t.at+tellStepEvery || moved.Abs() < leastStep) {
		return t
	}
	return next
}

// close ends all measuring, and waits for the end.
func (m *measuring) close() {
	m.mu.Lock()
	m.closed = true
	for _, stop := range m.watched {
		stop()
	}
	for _, p := range m.pairs {
		p.stop()
	}
	m.mu.Unlock()
	m.running.Wait()
}

// pull reads what a peer measures of a stream until ctx ends.
func (m *measuring) pull(ctx context.Context, r *peer.Reader, key stream.Key) {
	heard := time.Now()
	for ctx.Err() == nil {
		if body, err := r.Open(ctx, measure.Path(key)); err == nil {
			err = m.reports.Read(ctx, body, key, m.registry.Epoch())
			body.Close()
			heard = time.Now()
			m.watcher.Logger.Debug("the peer's measures have ended", "peer", r.Base, "stream", key.ID, "error", err)
		}
		peer.Wait(ctx, min(max(measuresRetry, time.Since(heard)/measuresShare), measuresSeldom))
	}
}

// register mounts what peers ask for. admit admits a request.
func (m *measuring) register(mux *http.ServeMux, admit func(http.ResponseWriter, *http.Request) (over <-chan struct{}, ok bool)) {
	mux.HandleFunc("GET /{app}/measures/{streamId}", func(w http.ResponseWriter, r *http.Request) {
		over, ok := admit(w, r)
		if !ok {
			return
		}
		key := stream.Key{App: r.PathValue("app"), ID: r.PathValue("streamId")}
		m.mu.Lock()
		watched := m.watched[key] != nil
		m.mu.Unlock()
		if !watched {
			http.NotFound(w, r)
			return
		}
		m.reports.Serve(w, r, key, m.registry.Epoch(), over)
	})
}

// contentOf returns the faults of a verdict.
func contentOf(v content.Verdict) failover.Content {
	return failover.Content{
		Black: v.Has[content.Black], Frozen: v.Has[content.Frozen], Silent: v.Has[content.Silent],
		LowBitrate: v.Has[content.LowBitrate], LowFrameRate: v.Has[content.LowFrameRate],
	}
}

// contentPolicyOf returns when faults of the content count; nil: by default.
func contentPolicyOf(c *v1alpha1.Content) content.Policy {
	if c == nil {
		c = &v1alpha1.Content{}
	}
	or := func(v *int32, otherwise int32) int32 {
		if v != nil {
			return *v
		}
		return otherwise
	}
	seconds := func(v *int32, otherwise int32) time.Duration { return time.Duration(or(v, otherwise)) * time.Second }
	silence, black, frozen, bitrate, rate := orZero(c.Silence), orZero(c.Black), orZero(c.Frozen), orZero(c.LowBitrate), orZero(c.LowFrameRate)
	p := content.Policy{
		SilenceDBFS:   float64(or(silence.BelowDBFS, v1alpha1.DefaultSilenceBelowDBFS)),
		LowBitrateBPS: int64(or(bitrate.BelowKilobitsPerSecond, 0)) * 1000,
		LowFrameRate:  float64(or(rate.BelowPercent, v1alpha1.DefaultLowFrameRateBelowPercent)) / 100,
		Clear:         seconds(c.ClearSeconds, v1alpha1.DefaultContentClearSeconds),
	}
	p.After[content.Silent] = seconds(silence.AfterSeconds, v1alpha1.DefaultSilenceAfterSeconds)
	p.After[content.Black] = seconds(black.AfterSeconds, v1alpha1.DefaultBlackAfterSeconds)
	p.After[content.Frozen] = seconds(frozen.AfterSeconds, v1alpha1.DefaultFrozenAfterSeconds)
	p.After[content.LowBitrate] = seconds(bitrate.AfterSeconds, v1alpha1.DefaultLowBitrateAfterSeconds)
	p.After[content.LowFrameRate] = seconds(rate.AfterSeconds, v1alpha1.DefaultLowFrameRateAfterSeconds)
	return p
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
