package failover

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestLatenessIsWhatFewFramesExceed(t *testing.T) {
	pub, next := new(stream.Publication), new(stream.Publication)
	var l lateness
	frame := func(p *stream.Publication, late time.Duration) {
		l.observe(&stream.AccessUnit{Publication: p, PTS: time.Second, Arrival: time.Second + late})
	}
	// Frames of 21 ms that come at ticks of 10 ms, with a hiccup every five seconds.
	for i := range 5000 {
		late := time.Duration(i*7%30) * ms
		if i%250 == 249 {
			late = 500 * ms
		}
		frame(pub, late)
	}
	if l.value < 26*ms || l.value > 32*ms {
		t.Errorf("%v, want about the 30 ms that all but the hiccups keep to", l.value)
	}
	frame(next, 2*ms)
	if l.value < 26*ms {
		t.Errorf("%v after an encoder's new beginning, want no jump", l.value)
	}
	for range 1000 {
		frame(next, 400*ms)
	}
	frame(pub, 0)
	if l.value > freshSpread {
		t.Errorf("%v: a publication that is in time waits for one that was not", l.value)
	}
}

// spread returns the difference in lateness between the soonest and the latest packet since a time.
func (s *outputRecorder) spread(since time.Duration) time.Duration {
	var soonest, latest time.Duration
	for _, p := range s.heard {
		if p.now < since {
			continue
		}
		late := p.now - p.at
		if soonest == 0 {
			soonest, latest = late, late
		}
		soonest, latest = min(soonest, late), max(latest, late)
	}
	return latest - soonest
}

func TestSoundLeavesEvenly(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.backup.late = 40 * ms
		s.bothOn()
		s.run(5 * time.Second)
		since := s.now()
		for _, e := range []*encoder{s.primary, s.backup, s.primary} {
			e.kill()
			s.run(5 * time.Second)
			e.start()
			s.run(5 * time.Second)
		}
		if s.pair.Status().Switches != 3 {
			t.Fatalf("%d switches", s.pair.Status().Switches)
		}
		if got := s.output.spread(since); got > 10*ms {
			t.Errorf("packets left %v apart from an even rate, though one leg's sound comes 40 ms later than the other's", got)
		}
		n := 0
		for _, p := range s.output.heard {
			if p.now >= since {
				n++
			}
		}
		if want := int((s.now() - since) / (20 * ms)); n < want-2 {
			t.Errorf("%d packets of %d", n, want)
		}
	})
}

func TestSilenceLeavesEvenlyOnceBegun(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.mute, s.backup.mute = true, true
		s.run(time.Second)
		since := s.now()
		s.run(5 * time.Second)
		if got := s.output.spread(since); got > 5*ms {
			t.Errorf("packets of silence left %v apart from an even rate", got)
		}
		s.primary.mute = false
		s.run(time.Second)
		if s.audio.lastPlayed() != "primary" || s.now()-s.audio.position > 40*ms {
			t.Error("the sound did not come back")
		}
	})
}

func TestVeryLateSoundDoesNotHoldBackTheOther(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.backup.late = 400 * ms
		s.bothOn()
		since := s.now()
		s.run(5 * time.Second)
		for _, p := range s.output.heard {
			if late := p.now - p.at; p.now > since && late > maxLateness {
				t.Fatalf("a packet left %v after its time", late)
			}
		}
	})
}
