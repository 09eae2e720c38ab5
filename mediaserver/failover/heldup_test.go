package failover

import (
	"testing"
	"time"
)

func TestAHeldUpServerDoesNotBlameTheLegs(t *testing.T) {
	// The pair's goroutine and both encoders' goroutines stand still for 3 s. Then the backup's
	// data is read 60 ms before the primary's data.
	holdUp := func(s *testPair) {
		s.output.hold.Store(int64(3 * time.Second))
		s.run(40 * ms) // the hold begins with the next picture
		s.primary.pause(true)
		s.backup.pause(true)
		s.runEncodersFor(3 * time.Second)
		s.backup.pause(false)
		s.run(60 * ms)
	}
	t.Run("when they go on", func(t *testing.T) {
		inStudio(t, nil, func(t *testing.T, s *testPair) {
			s.bothOn()
			holdUp(s)
			s.primary.pause(false)
			s.run(2 * time.Second)
			s.wantOn(Primary, ReasonStarted, 0)
		})
	})
	t.Run("but does when they don't", func(t *testing.T) {
		inStudio(t, nil, func(t *testing.T, s *testPair) {
			s.bothOn()
			holdUp(s)
			s.run(stallGrace)
			s.wantOn(Backup, ReasonPrimaryInputLost, 1)
		})
	})
	t.Run("and knows who disconnected", func(t *testing.T) {
		inStudio(t, nil, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.output.hold.Store(int64(3 * time.Second))
			s.run(40 * ms)
			s.primary.kill()
			s.backup.pause(true)
			s.runEncodersFor(3 * time.Second)
			s.backup.pause(false)
			s.run(10 * ms)
			s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		})
	})
}

// runEncodersFor lets only the encoders run, while the pair is held up and cannot be waited for.
func (s *testPair) runEncodersFor(d time.Duration) {
	for end := s.now() + d; s.now() < end; time.Sleep(5 * ms) {
		for _, e := range s.encoders {
			e.tick()
		}
	}
}

// hear lets time pass. The peer tells its standing twice a second.
func (s *testPair) hear(peer Standing, d time.Duration) {
	for end := s.now() + d; s.now() < end; {
		line := peer
		s.pair.SetPeer(&line)
		s.run(min(500*ms, end-s.now()))
	}
}

// wantDoubt checks what the peer is told.
func (s *testPair) wantDoubt(want Doubt) {
	s.t.Helper()
	if here, _, _ := s.pair.Standing(); here.Doubt != want || here.Rules != Rules {
		s.t.Fatalf("at %v the peer is told doubt %d and rules %d, want %d and %d", s.now(), here.Doubt, here.Rules, want, Rules)
	}
}

// bothOnWithPeer begins with the primary, here and at a peer. Both servers agree about the leg.
func (s *testPair) bothOnWithPeer() (peer Standing) {
	s.t.Helper()
	peer = Standing{Rules: Rules}
	s.pair.SetPeer(&peer)
	s.bothOn()
	peer = Standing{Active: Primary, OnAir: true, Since: s.now(), FirstPicture: s.now(), Settled: true, Final: true, Rules: Rules}
	s.wantDoubt(Interrupted) // it has just begun
	s.hear(peer, 4*time.Second)
	s.wantDoubt(Certain)
	return peer
}

// freeze holds the pair's goroutine up. The encoders go on, and the peer's lines wait.
func (s *testPair) freeze(d time.Duration, peer Standing) {
	s.output.hold.Store(int64(d))
	s.run(40 * ms) // the hold begins with the next picture
	s.runEncodersFor(d / 2)
	s.pair.SetPeer(&peer)
	s.runEncodersFor(d/2 - 40*ms)
}

func TestAPairThatWasFrozenAdoptsWhatItsPeerPlays(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		peer := s.bothOnWithPeer()
		peer.Active, peer.Since, peer.Settled, peer.Doubt = Backup, s.now()+time.Second, false, FailedOver
		s.freeze(5*time.Second, peer)
		s.run(200 * ms)
		s.wantOn(Primary, ReasonStarted, 0)
		s.wantDoubt(Interrupted)
		s.hear(peer, 2*time.Second)
		s.wantOn(Primary, ReasonStarted, 0) // the primary has to be whole there first
		peer.Settled = true
		s.hear(peer, 3*time.Second)
		s.wantOn(Backup, ReasonFollowedPeer, 1)
		if st := s.pair.Status(); st.Since < peer.Since {
			t.Errorf("on since %v, before the peer's failover at %v", st.Since, peer.Since)
		}
		s.hear(peer, 3*time.Second)
		s.wantDoubt(Certain)
	})
}

// The reverse case: the peer was frozen, and still plays the leg that this server has left.
func TestAPairIsNotPulledBackByAFrozenPeer(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		peer := s.bothOnWithPeer()
		s.primary.pause(true)
		s.run(3 * time.Second)
		s.wantOn(Backup, ReasonPrimaryInputLost, 1)
		s.wantDoubt(FailedOver)
		s.primary.pause(false)
		peer.Doubt = Interrupted
		s.hear(peer, 40*time.Second)
		s.wantOn(Backup, ReasonPrimaryInputLost, 1)
	})
}

// A peer of the version before neither sends nor reads a doubt: both servers go by the older time.
func TestAPairFollowsAPeerWithoutRulesByTheOlderTime(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		peer := s.bothOnWithPeer()
		s.primary.pause(true)
		s.run(3 * time.Second)
		s.primary.pause(false)
		peer.Rules = 0
		s.hear(peer, 5*time.Second)
		s.wantOn(Primary, ReasonFollowedPeer, 2)
	})
}

// The relay of a server that was frozen takes a moment to reconnect. That is no loss of the leg.
func TestAServerThatWasFrozenWaitsForItsRelay(t *testing.T) {
	for name, tt := range map[string]struct {
		away time.Duration // how long the primary is away once the server runs again
		want Role
	}{
		"the leg is back soon: no switch":       {peerWait - 200*ms, Primary},
		"the leg does not come: it is lost now": {time.Minute, Backup},
	} {
		t.Run(name, func(t *testing.T) {
			inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
				peer := s.bothOnWithPeer()
				s.freeze(5*time.Second, peer)
				s.primary.kill()
				s.hear(peer, min(tt.away, peerWait-100*ms))
				if got := s.pair.Status().Active; got != Primary {
					t.Fatalf("%s is on before the relay can be back", got)
				}
				if tt.away < peerWait {
					s.primary.start()
				}
				s.hear(peer, 3*time.Second)
				if got := s.pair.Status().Active; got != tt.want {
					t.Errorf("%s is on, want %s", got, tt.want)
				}
				if tt.want == Backup {
					s.wantDoubt(Interrupted) // the leg may have been lost to this server alone
				}
			})
		})
	}
}

// Media that arrives after the server itself was held up is no burst of the encoder.
func TestAHeldUpServerIsNoInputInBursts(t *testing.T) {
	inStudio(t, patient, func(t *testing.T, s *testPair) {
		s.bothOn()
		for range 3 {
			s.output.hold.Store(int64(2 * time.Second))
			s.run(40 * ms)
			from := s.now()
			for _, e := range s.encoders { // what they send waits to be read
				e.collect, e.phase = 2*time.Second, -from%(2*time.Second)
			}
			s.runEncodersFor(2*time.Second + 10*ms)
			for _, e := range s.encoders {
				e.collect = 0
			}
			s.run(5 * time.Second)
		}
		if s.warned(Primary) || s.warned(Backup) {
			t.Errorf("the warnings are %+v", s.pair.Status().Legs)
		}
		s.wantOn(Primary, ReasonStarted, 0)
	})
}

func TestAPauseIsFeltAsOneOrAsMany(t *testing.T) {
	const limit = 750 * ms
	tests := []struct {
		name   string
		pauses []time.Duration
		want   bool
	}{
		{"one pause that is as long", []time.Duration{limit}, true},
		{"one pause that is shorter", []time.Duration{limit - 1}, false},
		{"many short ones in a row, as of a starved process", []time.Duration{300 * ms, 20 * ms, 300 * ms, 20 * ms, 300 * ms}, true},
		{"the same, far apart", []time.Duration{300 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 300 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 90 * ms, 300 * ms}, false},
		{"none", []time.Duration{40 * ms, 40 * ms, 40 * ms}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g stallGuard
			got := false
			for _, pause := range tt.pauses {
				_, lagged, _ := g.ran(g.lastRun+pause, limit)
				got = got || lagged
			}
			if got != tt.want {
				t.Errorf("felt: %v, want %v", got, tt.want)
			}
		})
	}
}
