package failover

import (
	"testing"
	"time"
)

func TestPlannedSwitchKeepsTheOldLegUntilTheNextIDR(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.run(s.backup.toIDR() + 200*ms) // the next IDR is far away now
		asked, began := s.backup.asked, s.now()
		s.pair.SetPolicy(standard.pin(Backup))
		s.wait()
		if got := s.pair.Status(); got.Active != Primary || got.SwitchingTo != Backup {
			t.Fatalf("on air %q, switching to %q", got.Active, got.SwitchingTo)
		}
		if s.backup.asked != asked+1 {
			t.Errorf("the backup was asked %d times for an IDR, want once", s.backup.asked-asked)
		}
		left := s.backup.toIDR()
		s.run(left - 10*ms)
		s.wantOn(Primary, ReasonStarted, 0)
		s.run(20 * ms)
		s.wantOn(Backup, ReasonSelected, 1)
		if got := s.pair.Status().SwitchingTo; got != "" {
			t.Errorf("still switching to %q", got)
		}
		s.run(time.Second)
		var first *sent
		for _, p := range s.output.since(began) {
			switch {
			case p.burst:
				t.Fatalf("sent %v", p)
			case first == nil && legOf(p.unit) == "backup":
				first = &p
			case first != nil && legOf(p.unit) == "primary":
				t.Fatalf("%v went out after %v", p, first)
			}
		}
		if first == nil || !first.unit.IDR || first.at != first.unit.PTS {
			t.Errorf("the backup began with %v", first)
		}
	})
}

func TestPlannedSwitchIsGivenUp(t *testing.T) {
	tests := []struct {
		name string
		do   func(*testPair)
	}{
		{"when the leg to come is lost", func(s *testPair) { s.backup.kill() }},
		{"when the wish is taken back", func(s *testPair) { s.pair.SetPolicy(standard) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				s.bothOn()
				s.run(s.backup.toIDR() + 200*ms)
				s.pair.SetPolicy(standard.pin(Backup))
				s.run(100 * ms)
				tt.do(s)
				s.wait()
				if got := s.pair.Status().SwitchingTo; got != "" {
					t.Errorf("switching to %q", got)
				}
				s.run(5 * time.Second)
				s.wantOn(Primary, ReasonStarted, 0)
			})
		})
	}
	t.Run("and made urgent when the leg on air is lost", func(t *testing.T) {
		inStudio(t, nil, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.run(s.backup.toIDR() + 200*ms)
			s.pair.SetPolicy(standard.pin(Backup))
			s.run(100 * ms)
			s.primary.kill()
			s.wait()
			s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
			s.run(time.Second)
		})
	})
	t.Run("when the IDR is followed by the leg's end", func(t *testing.T) {
		inStudio(t, nil, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.run(s.backup.toIDR() + 200*ms)
			s.pair.SetPolicy(standard.pin(Backup))
			// Both events happen before the pair can evaluate.
			s.run(s.backup.toIDR() - 50*ms)
			s.output.hold.Store(int64(100 * ms))
			s.runEncodersFor(50 * ms)
			s.backup.tick()
			if s.backup.toIDR() < time.Second {
				t.Fatal("no IDR")
			}
			s.backup.kill()
			s.run(time.Second)
			s.wantOn(Primary, ReasonStarted, 0)
		})
	})
}

func TestUrgentSwitchWaitsForAnIDRThatIsNearerThanTheBurst(t *testing.T) {
	// A burst of 2 s takes half a second over this link.
	slow := func(cfg *PairConfig) { cfg.Output.(*outputRecorder).bps.Store(100_000) }
	t.Run("and takes it", func(t *testing.T) {
		inStudio(t, slow, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.runUntil("IDR soon", func() bool { return s.backup.toIDR() == 200*ms })
			killed := s.now()
			s.primary.kill()
			s.run(190 * ms)
			if sent := s.output.since(killed); len(sent) > 0 {
				t.Fatalf("sent %v before the IDR", sent[0])
			}
			s.run(20 * ms)
			s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
			if first := s.output.since(killed)[0]; !first.unit.IDR || first.burst {
				t.Errorf("began with %v", first)
			}
			s.run(time.Second)
		})
	})
	t.Run("but not for one that is late", func(t *testing.T) {
		inStudio(t, slow, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.runUntil("IDR soon", func() bool { return s.backup.toIDR() == 200*ms })
			s.backup.gop = 1 << 30 // no further IDR
			s.primary.kill()
			s.run(200*ms + lateIDR - 10*ms)
			if s.pair.Status().Active != Primary {
				t.Fatal("did not wait")
			}
			s.run(20 * ms)
			s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
			s.run(200 * ms)
		})
	})
	t.Run("nor when the leg that was lost returns", func(t *testing.T) {
		inStudio(t, slow, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.runUntil("IDR soon", func() bool { return s.backup.toIDR() == 200*ms })
			s.primary.kill()
			s.run(100 * ms)
			s.primary.start()
			s.run(5 * time.Second)
			s.wantOn(Primary, ReasonStarted, 0)
		})
	})
	t.Run("unless the IDR is further away", func(t *testing.T) {
		inStudio(t, slow, func(t *testing.T, s *testPair) {
			s.bothOn()
			s.runUntil("IDR far", func() bool { return s.backup.toIDR() == 1800*ms })
			s.primary.kill()
			s.wait()
			s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
			s.run(time.Second)
		})
	})
}
