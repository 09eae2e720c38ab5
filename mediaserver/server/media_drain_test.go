package server

import (
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestWhoNeedsWhatAServerThatDrainsIngests(t *testing.T) {
	plays := func(r failover.Role) failover.Standing { return failover.Standing{Active: r, OnAir: true} }
	about := func(s failover.Standing, to failover.Role) failover.Standing {
		s.SwitchingTo = to
		return s
	}
	const ours, theirs = failover.Primary, failover.Backup
	peers := func(all ...failover.Standing) []failover.Standing { return all }
	tests := []struct {
		name string
		use  use
		want bool
	}{
		{"nobody watches, the peer plays the other leg", use{here: plays(theirs), shared: true, peers: peers(plays(theirs))}, false},
		{"nobody watches what is played here, the peer plays the other leg", use{here: plays(ours), shared: true, peers: peers(plays(theirs))}, false},
		{"viewers here are still on it", use{watched: true, here: plays(ours), shared: true, peers: peers(plays(theirs))}, true},
		{"viewers here are about to leave it", use{watched: true, here: about(plays(ours), theirs), shared: true, peers: peers(plays(theirs))}, true},
		{"viewers here have left it", use{watched: true, here: plays(theirs), shared: true, peers: peers(plays(theirs))}, false},
		{"the peer is still on it", use{here: plays(theirs), shared: true, peers: peers(plays(ours))}, true},
		{"the peer is about to come to it", use{here: plays(theirs), shared: true, peers: peers(about(plays(theirs), ours))}, true},
		{"the peer has nothing on air: it may be about to begin", use{here: plays(theirs), shared: true, peers: peers(failover.Standing{})}, true},
		{"one of two peers is still on it", use{here: plays(theirs), shared: true, peers: peers(plays(theirs), plays(ours))}, true},
		{"no peer can be heard: who knows", use{here: plays(theirs), shared: true}, true},
		{"a stream of no pair, watched", use{watched: true, here: plays(ours)}, true},
		{"a stream of no pair, not watched", use{here: plays(ours)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.use.role = ours
			if got := anyNeeds([]use{{role: ours, here: plays(theirs)}, tt.use}); got != tt.want {
				t.Errorf("needed: %v", got)
			}
		})
	}
	if anyNeeds(nil) {
		t.Error("what no pair uses is needed")
	}
}

func drainsFor(d time.Duration) func(*Config) {
	return func(c *Config) { c.DrainTimeout = d }
}

// hasEnded waits until a server has ended, and returns how long that took.
func (w *relayedPair) hasEnded(leg int, within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	select {
	case <-w.servers[leg].ended:
	case <-time.After(within):
		w.t.Fatalf("the %s's server has not ended within %v", legIDs[leg], within)
	}
	return time.Since(began)
}

func TestTheServerOfTheLegOnAirDrains(t *testing.T) {
	w := startRelayedPair(t, sticky, drainsFor(patience))
	w.publishBoth()
	viewers := w.watch()
	for _, v := range viewers {
		v.sees(0, fps*2, time.Time{})
	}

	told := time.Now()
	w.servers[0].end()
	for _, v := range viewers {
		v.sees(1, fps, told)
	}
	t.Logf("both servers play the other leg after %v", time.Since(told).Round(ms))
	for i, s := range w.servers {
		if p := s.pair("sunday"); p.Reason != string(failover.ReasonPrimaryDraining) || p.Switches != 1 {
			t.Errorf("the %s's server made %d switches, the last for %s", legIDs[i], p.Switches, p.Reason)
		}
	}
	eventually.True(t, "its publisher is let go", func() bool { return len(w.servers[0].published()) == 0 })
	t.Logf("its publisher was let go after %v", time.Since(told).Round(ms))
	for i, v := range viewers {
		v.sees(1, fps*2, time.Now()) // also the viewer of the ending server, until that server is gone
		gap := mediatest.LongestGap(v.Sightings(), told, time.Now())
		t.Logf("longest gap at the %s's server: %v", legIDs[i], gap.Round(ms))
		if gap > maxGap/2 {
			t.Error("that is too long")
		}
	}
	select {
	case <-w.servers[0].ended:
		t.Fatal("it ended before its viewer had gone")
	default:
	}
	viewers[0].leaves().isContinuous()
	t.Logf("it ended %v after its last viewer left", w.hasEnded(0, patience/2).Round(ms))

	// The server is replaced, and the leg is back, without a switch.
	w.start(0)
	w.publish(0, 0)
	w.play(1, true, true)
	viewers[1].sees(1, fps*2, time.Now())
	if gap := mediatest.LongestGap(viewers[1].Sightings(), told, time.Now()); gap > maxGap/2 {
		t.Errorf("no picture for %v", gap)
	}
	viewers[1].leaves().isContinuous()
	if p := w.servers[1].pair("sunday"); p.Switches != 1 {
		t.Errorf("the peer made %d switches, the last for %s", p.Switches, p.Reason)
	}
}

func TestTheServerOfTheOtherLegDrainsAtOnce(t *testing.T) {
	w := startRelayedPair(t, sticky, drainsFor(patience))
	w.publishBoth()
	v := w.servers[0].watchPair()
	v.sees(0, fps*2, time.Time{})
	told := time.Now()
	w.servers[1].end()
	t.Logf("it ended after %v", w.hasEnded(1, patience/3).Round(ms))
	v.sees(0, fps*2, time.Now())
	if gap := mediatest.LongestGap(v.Sightings(), told, time.Now()); gap > maxGap/2 {
		t.Errorf("no picture for %v", gap)
	}
	if p := w.servers[0].pair("sunday"); p.Switches != 0 {
		t.Errorf("%d switches", p.Switches)
	}
	v.leaves().isContinuous()
}

func TestAServerThatNobodyNeedsEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky, drainsFor(patience))
	w.servers[0].end()
	t.Logf("it ended after %v", w.hasEnded(0, patience/3).Round(ms))
}

func TestTheOnlyLiveLegIsIngestedToTheEndOfTheDrain(t *testing.T) {
	const timeout = 4 * time.Second
	for name, prepare := range map[string]func(*relayedPair){
		"the other leg is away": func(*relayedPair) {},
		"the peer is away":      func(w *relayedPair) { w.kill(1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := startRelayedPair(t, sticky, drainsFor(timeout))
			w.publish(0, 0)
			w.play(0, true, false)
			prepare(w)
			v := w.servers[0].watchPair()
			if name == "the other leg is away" {
				v = w.servers[1].watchPair()
			}
			v.sees(0, fps, time.Time{})
			told := time.Now()
			w.servers[0].end()
			time.Sleep(timeout * 3 / 4)
			v.sees(0, fps/2, time.Now())
			if gap := mediatest.LongestGap(v.Sightings(), told, time.Now()); gap > maxGap/2 {
				t.Errorf("no picture for %v", gap)
			}
			w.hasEnded(0, patience/3)
			took := time.Since(told)
			t.Logf("it ended after %v", took.Round(ms))
			if took < timeout {
				t.Errorf("it ended after %v, want %v", took, timeout)
			}
		})
	}
}

// Neither server can take over from the other, so each waits for its viewers.
func TestBothServersDrainTogether(t *testing.T) {
	w := startRelayedPair(t, sticky, drainsFor(patience))
	w.publishBoth()
	viewers := w.watch()
	for _, v := range viewers {
		v.sees(0, fps*2, time.Time{})
	}
	told := time.Now()
	for _, s := range w.servers {
		s.end()
	}
	time.Sleep(2 * time.Second)
	for i, v := range viewers {
		v.sees(0, fps, time.Now())
		if gap := mediatest.LongestGap(v.Sightings(), told, time.Now()); gap > maxGap/2 {
			t.Errorf("no picture for %v at the %s's server", gap, legIDs[i])
		}
		if p := w.servers[i].pair("sunday"); p.Switches != 0 {
			t.Errorf("%d switches, the last for %s", p.Switches, p.Reason)
		}
	}
	if n := len(w.servers[0].published()); n != 1 {
		t.Errorf("the leg on air has %d publishers", n)
	}
	viewers[1].leaves().isContinuous()
	w.hasEnded(1, patience/3)
	v := viewers[0]
	v.sees(0, fps, time.Now())
	v.leaves().isContinuous()
}
