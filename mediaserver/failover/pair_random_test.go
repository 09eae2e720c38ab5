package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestWhateverHappens lets two encoders and a viewer do anything, in any order. The testPair checks
// that the output decodes, moves forward and is heard once. This test checks that no media goes out
// from the worse leg without need. It also checks that all is well soon after both encoders are.
func TestWhateverHappens(t *testing.T) {
	t.Parallel() // its time is not real
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			s := newTestPair(t, synctest.Wait, func(cfg *PairConfig) {
				cfg.Policy.Mode = rapid.SampledFrom([]Mode{Sticky, PreferPrimary}).Draw(t, "mode")
				cfg.Policy.MaxJitter = rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "most jitter")
				cfg.Output.(*outputRecorder).bps.Store(rapid.SampledFrom([]int64{0, 100_000}).Draw(t, "egress"))
			})
			defer s.close()
			for _, e := range s.encoders {
				e.frame = rapid.SampledFrom([]time.Duration{20 * ms, 40 * ms, 200 * ms}).Draw(t, e.key.ID+" frame")
				e.gop = rapid.IntRange(1, 80).Draw(t, e.key.ID+" gop")
				e.late = rapid.SampledFrom([]time.Duration{0, 0, 400 * ms}).Draw(t, e.key.ID+" audio late")
			}
			for range rapid.IntRange(1, 25).Draw(t, "events") {
				s.randomEvent(t)
				s.run(time.Duration(rapid.IntRange(0, 600).Draw(t, "pause of 5 ms")) * 5 * ms)
			}
			policy := standard
			policy.MaxJitter = s.pair.Policy().MaxJitter
			s.pair.SetPolicy(policy)
			s.viewers(1)
			for _, e := range s.encoders {
				if e.pub == nil {
					e.start()
				}
				e.pause(false)
				e.collect = 0
			}
			// A GOP of 80 pictures at 5 a second is longer than the cache's bound, and gaps are
			// remembered for a minute.
			s.run(17*time.Second + time.Minute)
			if got := s.pair.Status(); !got.OnAir || got.Legs[0].Rank != RankFull || got.Legs[1].Rank != RankFull {
				t.Fatalf("in the end %+v", got)
			}
			n, heard, switches := len(s.output.sent), len(s.audio.played), s.pair.Status().Switches
			s.run(time.Second)
			if len(s.output.sent) < n+4 || len(s.audio.played) < heard+45 {
				t.Fatalf("in the last second %d pictures and %d sounds", len(s.output.sent)-n, len(s.audio.played)-heard)
			}
			if got := s.pair.Status().Switches; got != switches {
				t.Fatalf("switched %d times more", got-switches)
			}
		})
	})
}

func (s *testPair) randomEvent(t *rapid.T) {
	e := s.encoders[rapid.IntRange(0, 1).Draw(t, "encoder")]
	switch rapid.SampledFrom([]string{"connect", "connect", "kill", "stop", "continue", "blind", "mute", "pin", "viewers", "hold up", "collect"}).Draw(t, "event") {
	case "connect":
		if e.pub == nil {
			e.start()
		}
	case "kill":
		e.kill()
	case "stop":
		e.pause(true)
	case "continue":
		e.pause(false)
	case "blind":
		e.blind = !e.blind
	case "mute":
		e.mute = !e.mute
	case "pin":
		p := s.pair.Policy()
		p.Select = rapid.SampledFrom([]Role{"", Primary, Backup}).Draw(t, "pin")
		s.pair.SetPolicy(p)
	case "viewers":
		s.viewers(rapid.IntRange(0, 2).Draw(t, "viewers"))
	case "collect":
		e.collect = rapid.SampledFrom([]time.Duration{0, 900 * ms, 3 * time.Second}).Draw(t, "in bursts of")
		e.phase = time.Duration(rapid.IntRange(0, 30).Draw(t, "phase of 100 ms")) * 100 * ms
	case "hold up":
		s.output.hold.Store(int64(rapid.IntRange(0, 600).Draw(t, "held up for ms")) * int64(ms))
	}
}
