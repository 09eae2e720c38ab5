package server

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// switches is how often the failover tests kill the encoder that is on air.
const switches = 10

// killInTurns watches a pair while the encoder on air is killed and restarted, again
// and again. It logs how soon the other leg's pictures arrived. It fails the test if
// they did not arrive or are not current. It returns what the viewer received.
func (s *testServer) killInTurns(publish [2]func() publisher, current func(mediatest.Sighting) bool) reception {
	s.t.Helper()
	ids := [2]string{"primary", "backup"}
	var encoders [2]publisher
	encoders[0] = publish[0]()
	s.onAir("primary", true, false) // otherwise the backup may be first
	encoders[1] = publish[1]()
	s.onAir("primary", true, true)
	v := s.watchPair()
	var seen, gaps []time.Duration
	for n := range switches {
		active, other := n%2, 1-n%2
		s.onAir(ids[active], true, true)
		// A beep or two of each leg are on air and in reserve.
		v.sees(active, fps*3/2, time.Now())
		killed := time.Now()
		encoders[active].Kill()
		eventually.True(s.t, "current pictures of the other leg", func() bool {
			_, ok := firstOf(v.Sightings(), other, killed, current)
			return ok && time.Since(killed) > observed
		})
		sightings := v.Sightings()
		first, _ := firstOf(sightings, other, killed, current)
		gap := mediatest.LongestGap(sightings, killed, killed.Add(observed))
		seen, gaps = append(seen, first.Seen.Sub(killed)), append(gaps, gap)
		if gap > maxGap {
			s.t.Errorf("switch %d: no picture for %v", n, gap)
		}
		encoders[active] = publish[active]()
	}
	s.onAir("primary", true, true)
	v.sees(0, fps*3/2, time.Now())
	s.t.Logf("killed to a current picture of the other leg: median %v, worst %v; longest gap: median %v, worst %v",
		median(seen).Round(ms), slices.Max(seen).Round(ms), median(gaps).Round(ms), slices.Max(gaps).Round(ms))
	if p := s.pair("sunday"); p.Switches != switches {
		s.t.Errorf("%d switches, want %d", p.Switches, switches)
	}
	return v.leaves()
}

// observed is how long after a kill gaps between pictures are looked for.
const observed = maxGap

// firstOf returns the first picture of a leg that is current.
func firstOf(sightings []mediatest.Sighting, leg int, after time.Time, current func(mediatest.Sighting) bool) (mediatest.Sighting, bool) {
	return mediatest.FirstCurrent(sightings, leg, after, 0, func(s mediatest.Sighting) time.Duration {
		if current(s) {
			return 0
		}
		return 1
	})
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
	r := s.killInTurns(publish, func(mediatest.Sighting) bool { return true })
	r.isContinuous()
	// The two encoders' beeps are not in step. A beep that a switch cuts off proves nothing.
	r.isInSync(switches, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
}

// Both encoders send the same programme in step. All sound can thereby
// be compared with all pictures, and the age of a picture read from it.
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
	r := s.killInTurns(publish, func(s mediatest.Sighting) bool {
		return mediatest.Age(s, epoch, fps, loop) <= 300*ms
	})
	r.isContinuous()
	r.isInSync(switches, 100*ms, 100*ms)
	r.hasSound(maxSilence, r.soundBegins())
}
