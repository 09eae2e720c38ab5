package server

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// switches is how often the tests of failover kill the encoder that is on air.
const switches = 4

// killInTurns kills the encoder that is on air again and again, and starts it anew each
// time. It returns when it killed, and logs how soon the other leg was seen.
func (v *viewer) killInTurns(s *testServer, publish [2]func() publisher, current func(mediatest.Sighting) bool) []time.Time {
	v.t.Helper()
	ids := [2]string{"primary", "backup"}
	encoders := [2]publisher{publish[0](), publish[1]()}
	s.onAir("primary", true, true)
	var kills []time.Time
	var seen, gaps []time.Duration
	since := time.Now()
	for n := range switches {
		active, other := n%2, 1-n%2
		v.sees(active, fps*3/2, since) // a beep at least
		s.onAir(ids[active], true, true)
		killed := time.Now()
		kills = append(kills, killed)
		encoders[active].Kill()
		v.sees(other, fps, killed)
		first, ok := mediatest.FirstCurrent(v.Sightings(), other, killed, 0, func(s mediatest.Sighting) time.Duration {
			if current(s) {
				return 0
			}
			return 1
		})
		if !ok {
			v.t.Errorf("switch %d: no picture is current", n)
		}
		gap := mediatest.LongestGap(v.Sightings(), killed, killed.Add(time.Second))
		seen, gaps = append(seen, first.Seen.Sub(killed)), append(gaps, gap)
		if gap > maxGap {
			v.t.Errorf("switch %d: no picture for %v", n, gap)
		}
		encoders[active] = publish[active]()
		since = killed
	}
	v.sees(0, fps*3/2, since)
	v.t.Logf("killed to the other leg's picture: median %v, worst %v; longest gap: median %v, worst %v",
		median(seen).Round(ms), seen[len(seen)-1].Round(ms), median(gaps).Round(ms), gaps[len(gaps)-1].Round(ms))
	return kills
}

func TestAKilledEncoderCostsAViewerHardlyAnything(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	var publish [2]func() publisher
	for leg, id := range []string{"primary", "backup"} {
		path := file(t, mediatest.Programme{Leg: leg, GOPPhase: time.Duration(leg) * 700 * ms})
		publish[leg] = func() publisher {
			return mediatest.Publish(t, path, s.publishURL(id), "-stream_loop", "-1")
		}
	}
	v := s.watchPair()
	v.killInTurns(s, publish, func(mediatest.Sighting) bool { return true })
	r := v.leaves()
	r.isContinuous()
	// The two encoders' beeps are not in step: one that a switch cuts off tells nothing.
	r.isInSync(switches, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
	if p := s.pair("sunday"); p.Switches != switches {
		t.Errorf("%d switches, want %d", p.Switches, switches)
	}
}

// Both encoders send the same programme in step, so that all sound can be compared with
// all pictures, and a picture's age be read from it.
func TestAKilledEncoderWhoseSoundComesLateCostsAViewerHardlyAnything(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	const loop = 8 * time.Second
	epoch := time.Now()
	var publish [2]func() publisher
	for leg, id := range []string{"primary", "backup"} {
		options := mediatest.ReplayOptions{Epoch: epoch, Timestamp: time.Duration(leg) * 5 * time.Hour}
		if leg == 0 {
			options.AudioDelay = 400 * ms
		}
		publish[leg] = func() publisher {
			return s.replay(id, mediatest.Programme{Leg: leg, GOP: time.Second, GOPPhase: time.Duration(leg) * 300 * ms}, options)
		}
	}
	v := s.watchPair()
	kills := v.killInTurns(s, publish, func(s mediatest.Sighting) bool {
		return mediatest.Age(s, epoch, fps, loop) < 5*300*ms
	})
	r := v.leaves()
	ps := inOrder(r.audio.Packets)
	for i := range ps[1:] {
		if st := ps[i+1].Timestamp - ps[i].Timestamp; st != 960 {
			t.Logf("DEBUG step %v ms at %v", int(st)/48, ps[i+1].Arrival.Format("05.000"))
		}
	}
	for _, p := range ps {
		pr, _ := r.audio.Presentation(p.Timestamp)
		for _, k := range kills {
			if d := pr.Sub(k); d > -800*ms && d < 400*ms {
				t.Logf("DEBUG2 pts kill%+v len %d lag %v", d.Round(ms), len(p.Payload), p.Arrival.Sub(pr).Round(ms))
			}
		}
	}
	for _, s := range r.sound.Silences(10 * ms) {
		for _, k := range kills {
			if d := s.Begin.Sub(k); d.Abs() < time.Second {
				t.Logf("DEBUG silence at kill%+v for %v", d, s.Length)
			}
		}
	}
	r.isContinuous()
	r.isInSync(switches, 100*ms, 100*ms)
	r.hasSound(maxSilence, r.soundBegins())
}
