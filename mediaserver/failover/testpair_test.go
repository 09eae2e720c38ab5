package failover

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testingT is what a testPair needs of *testing.T and *rapid.T.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// source is a leg's Source.
type source struct {
	stream *stream.Stream
	wanted bool
}

func (s *source) Stream() *stream.Stream { return s.stream }
func (s *source) Demand(on bool)         { s.wanted = on }

// A testPair is a pair with its encoders and one viewer, all on the clock of a synctest bubble. The
// test's goroutine drives the encoders. When run returns, the pair's goroutine has done its work.
type testPair struct {
	t               testingT
	wait            func()
	registry        *stream.Registry
	primary, backup *encoder
	legs            [2]*source
	output          *outputRecorder
	audio           *audioRecorder
	pair            *Pair
	collected       *prometheus.Registry
	changes         int // calls of OnChange
	encoders        []*encoder

	stop  context.CancelFunc
	ended chan error
}

// newTestPair returns a pair whose encoders do not run yet: 25 pictures and 50 audio frames a
// second, an IDR every 2 s. newTestPair and close must be called in a bubble.
func newTestPair(t testingT, wait func(), change func(*PairConfig)) *testPair {
	s := &testPair{t: t, wait: wait, collected: prometheus.NewRegistry(), ended: make(chan error, 1)}
	m := metrics.New(s.collected)
	s.registry = stream.NewRegistry(stream.Config{Metrics: m})
	s.output = &outputRecorder{now: s.registry.Now, changed: make(chan struct{}, 1)}
	s.output.viewers.Store(1)
	s.audio = &audioRecorder{now: s.registry.Now, frame: 20 * ms}
	cfg := PairConfig{
		Name: "show", PrimaryID: "primary", BackupID: "backup", Policy: standard,
		Output: s.output, NewAudio: s.audio.begin, Metrics: m, OnChange: func() { s.changes++ },
	}
	for i, id := range []string{"primary", "backup"} {
		key := stream.Key{App: "live", ID: id}
		s.legs[i] = &source{stream: s.registry.Stream(key)}
		s.encoders = append(s.encoders, &encoder{
			t: t, registry: s.registry, key: key, frame: 40 * ms, gop: 50, bytes: 100, sound: 20 * ms, format: aac,
		})
	}
	s.primary, s.backup = s.encoders[0], s.encoders[1]
	cfg.Primary, cfg.Backup = s.legs[0], s.legs[1]
	if change != nil {
		change(&cfg)
	}
	s.pair = NewPair(cfg)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- s.pair.Run(ctx) }()
	s.wait()
	return s
}

func (s *testPair) now() time.Duration { return s.registry.Now() }

// run lets time pass.
func (s *testPair) run(d time.Duration) {
	const step = 5 * ms
	for end := s.now() + d; s.now() < end; {
		time.Sleep(min(step, end-s.now()))
		for _, e := range s.encoders {
			e.tick()
		}
		s.wait()
	}
	s.wait()
}

// runUntil lets time pass until cond holds, for at most a minute.
func (s *testPair) runUntil(what string, cond func() bool) {
	s.t.Helper()
	for end := s.now() + time.Minute; !cond(); s.run(5 * ms) {
		if s.now() > end {
			s.t.Fatalf("no %s within a minute", what)
		}
	}
}

func (s *testPair) viewers(n int) {
	s.output.viewers.Store(int64(n))
	select {
	case s.output.changed <- struct{}{}:
	default:
	}
	s.wait()
}

// wantOn checks the pair's status.
func (s *testPair) wantOn(r Role, why Reason, switches int) {
	s.t.Helper()
	got := s.pair.Status()
	if got.Active != r || got.Reason != why || got.Switches != switches || !got.OnAir {
		s.t.Fatalf("at %v: %q for %s after %d switches, on air %v; want %q for %s after %d",
			s.now(), got.Active, got.Reason, got.Switches, got.OnAir, r, why, switches)
	}
}

// close ends the pair and checks what must hold for every run. Pictures go out in an order that
// decodes, at times that only move forward. Each audio unit goes out once and in its place.
func (s *testPair) close() {
	s.t.Helper()
	s.wait()
	s.stop()
	if err := <-s.ended; !errors.Is(err, context.Canceled) {
		s.t.Fatalf("Run returned %v", err)
	}
	for _, e := range s.encoders {
		e.kill()
	}
	if streams := s.registry.Streams(); len(streams) > 0 {
		s.t.Fatalf("%d streams are still in use", len(streams))
	}
	s.checkPictures()
	s.checkSound()
}

func (s *testPair) checkPictures() {
	s.t.Helper()
	for i, p := range s.output.sent {
		if i == 0 {
			if !p.unit.IDR {
				s.t.Fatalf("began with %v", p)
			}
			continue
		}
		before := s.output.sent[i-1]
		if p.at < before.at+tick {
			s.t.Fatalf("%v follows %v", p, before)
		}
		follows := p.unit.Publication == before.unit.Publication && numberOf(p.unit) == numberOf(before.unit)+1
		if !p.unit.IDR && !follows {
			s.t.Fatalf("%v follows %v: that cannot be decoded", p, before)
		}
		if ahead := p.at - p.now; ahead > 20*ms {
			s.t.Fatalf("%v is ahead of the clock by %v", p, ahead)
		}
	}
}

func (s *testPair) checkSound() {
	s.t.Helper()
	for _, seg := range s.audio.segments {
		units := append(append([]*stream.AccessUnit(nil), seg.prime...), seg.live...)
		for i := 1; i < len(units); i++ {
			u, before := units[i], units[i-1]
			if u.Publication != before.Publication || numberOf(u) != numberOf(before)+1 || u.Seq <= before.Seq {
				s.t.Fatalf("audio %d of %s/%d follows %d of %s/%d", numberOf(u), legOf(u), u.Publication.ID(),
					numberOf(before), legOf(before), before.Publication.ID())
			}
		}
	}
	seen := make(map[*stream.AccessUnit]bool)
	for i, u := range s.audio.played {
		if seen[u] {
			s.t.Fatalf("audio %d of %s was played twice", numberOf(u), legOf(u))
		}
		seen[u] = true
		if i > 0 && u.PTS < s.audio.played[i-1].PTS {
			s.t.Fatalf("audio went back from %v to %v", s.audio.played[i-1].PTS, u.PTS)
		}
	}
}
