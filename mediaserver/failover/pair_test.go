package failover

import (
	"testing"
	"testing/synctest"
	"time"
)

// inStudio runs test with a pair in a bubble.
func inStudio(t *testing.T, change func(*PairConfig), test func(t *testing.T, s *testPair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newTestPair(t, synctest.Wait, change)
		defer s.close()
		test(t, s)
	})
}

// bothOn starts both encoders, half a GOP apart. It lets them run for a while, and ends between two
// pictures.
func (s *testPair) bothOn() {
	s.primary.start()
	s.run(1015 * ms)
	s.backup.start()
	s.run(5210 * ms)
	s.wantOn(Primary, ReasonStarted, 0)
}

func with(change func(*Policy)) func(*PairConfig) {
	return func(cfg *PairConfig) { change(&cfg.Policy) }
}

func TestKilledPrimaryIsReplacedFromTheBackupsCacheAtOnce(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		killed, last := s.now(), s.output.sent[len(s.output.sent)-1]
		s.primary.kill()
		s.wait()
		burst := s.output.since(killed)
		if len(burst) == 0 {
			t.Fatal("nothing was sent at once")
		}
		for i, p := range burst {
			if !p.burst || legOf(p.unit) != "backup" || numberOf(p.unit) != numberOf(burst[0].unit)+i || p.now != killed {
				t.Errorf("sent %v", p)
			}
		}
		newest := burst[len(burst)-1]
		if numberOf(newest.unit) != s.backup.pictures-1 {
			t.Errorf("the burst ends with %v, the backup's newest picture is %d", newest, s.backup.pictures-1)
		}
		if newest.at != newest.unit.PTS || newest.at < last.at {
			t.Errorf("landed at %v, the live edge is %v", newest.at, newest.unit.PTS)
		}
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.run(3 * time.Second)
		for i, p := range s.output.since(killed + ms) {
			if p.burst || p.at != p.unit.PTS {
				t.Fatalf("picture %d after the burst: %v of %v", i, p, p.unit.PTS)
			}
		}
	})
}

func TestTheBackupStaysOnWhenThePrimaryReturns(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.kill()
		s.run(5 * time.Second)
		s.primary.start()
		s.run(30 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.backup.kill()
		s.wait()
		s.wantOn(Primary, ReasonBackupDisconnected, 2)
		s.run(time.Second)
	})
}

func TestConnectedButSilent(t *testing.T) {
	tests := []struct {
		name    string
		silence func(*encoder)
		fps1    bool
		// after is how long after the last picture or sound the backup is on air, plus or minus one
		// interval between access units.
		after time.Duration
		why   Reason
	}{
		{"both tracks: after the input loss time", func(e *encoder) { e.pause(true) }, false, time.Second, ReasonPrimaryInputLost},
		{"its video, while sound is on time: after 2 s", func(e *encoder) { e.blind = true }, false, 2 * time.Second, ReasonPrimaryDegraded},
		{"its audio: 2 s more", func(e *encoder) { e.mute = true }, false, 3 * time.Second, ReasonPrimaryDegraded},
		{"1 frame a second: three frames", func(e *encoder) { e.blind = true }, true, 3 * time.Second, ReasonPrimaryDegraded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				if tt.fps1 {
					s.primary.frame, s.primary.gop = time.Second, 1
				}
				s.bothOn()
				s.run(20 * time.Second) // the SPS declared 25 frames a second
				s.wantOn(Primary, ReasonStarted, 0)
				tt.silence(s.primary)
				silent := s.now()
				s.runUntil("failover", func() bool { return s.pair.Status().Active == Backup })
				// The last picture came before the track fell silent.
				took, slack := s.now()-silent, max(s.primary.frame, 40*ms)
				if took < tt.after-slack || took > tt.after+5*ms {
					t.Errorf("failed over %v after silence began, want %v", took, tt.after)
				}
				s.wantOn(Backup, tt.why, 1)
				s.run(time.Second)
			})
		})
	}
}

func TestALegAtOneFrameASecondIsOrdinary(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		for _, e := range s.encoders {
			e.frame, e.gop = time.Second, 10
		}
		s.primary.start()
		s.run(4300 * ms)
		s.backup.start()
		s.run(30 * time.Second)
		s.wantOn(Primary, ReasonStarted, 0)
		s.primary.kill()
		s.run(30 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
	})
}

// A still screen is shared at one picture a second after 25 a second. Chrome's idle rate is exactly
// the default loss time.
func TestAStillScreenIsNoLoss(t *testing.T) {
	for name, tt := range map[string]struct {
		loss time.Duration
		why  Reason // the reason of the failover once the encoder is silent
	}{
		"default loss time": {time.Second, ReasonPrimaryInputLost},
		"short loss time":   {200 * ms, ReasonPrimaryDegraded}, // the last picture is older than that
	} {
		t.Run(name, func(t *testing.T) {
			inStudio(t, func(cfg *PairConfig) { cfg.Policy.InputLoss = tt.loss }, func(t *testing.T, s *testPair) {
				s.bothOn()
				for range 3 {
					s.primary.frame = time.Second
					s.run(30 * time.Second)
					s.primary.frame = 40 * ms
					s.run(5 * time.Second)
				}
				s.wantOn(Primary, ReasonStarted, 0)
				s.primary.frame = time.Second
				s.run(2200 * ms)
				s.primary.pause(true)
				s.run(tt.loss + 50*ms)
				s.wantOn(Backup, tt.why, 1)
			})
		})
	}
}

func TestTenSecondGOP(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.primary.gop, s.backup.gop = 250, 250
		s.primary.start()
		s.run(1015 * ms)
		s.backup.start()
		s.run(14010 * ms)
		killed := s.now()
		s.primary.kill()
		s.wait()
		burst := s.output.since(killed)
		if len(burst) != 101 || burst[len(burst)-1].at != burst[len(burst)-1].unit.PTS {
			t.Fatalf("%d cached pictures, want those of 4 s, up to the live edge", len(burst))
		}
		s.run(12 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
	})
}

func TestTakeoverIsASpliceInsideTheLeg(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		newcomer := *s.primary
		s.encoders = append(s.encoders, &newcomer)
		// The newcomer's first picture comes half a second after it connected. Until then the
		// incumbent stays on air.
		newcomer.frame = 0
		newcomer.start()
		began, sounds := s.now(), len(s.audio.segments)
		newcomer.must(newcomer.pub.SetVideoParameters(testSPS, testPPS))
		s.run(500 * ms)
		if n := len(s.output.since(began)); n < 12 {
			t.Fatalf("%d pictures of the incumbent meanwhile", n)
		}
		newcomer.frame, newcomer.nextPicture = 40*ms, s.now()+5*ms
		s.run(time.Second)
		s.wantOn(Primary, ReasonStarted, 0)
		last := s.output.sent[len(s.output.sent)-1].unit
		if last.Publication != newcomer.pub {
			t.Error("the newcomer is not on air")
		}
		if n := len(s.audio.segments) - sounds; n != 1 {
			t.Errorf("sound began %d times", n)
		}
		if s.audio.silence > 20*ms {
			t.Errorf("%v of silence", s.audio.silence)
		}
	})
}

func TestBothLostAndBack(t *testing.T) {
	tests := []struct {
		name    string
		returns func(*testPair) *encoder
		want    Role
		why     Reason
		n       int
	}{
		{"the last one returns", func(s *testPair) *encoder { return s.backup }, Backup, ReasonPrimaryDisconnected, 1},
		{"the other one returns", func(s *testPair) *encoder { return s.primary }, Primary, ReasonBackupDisconnected, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				s.bothOn()
				s.primary.kill()
				s.run(time.Second)
				s.backup.kill()
				s.wait()
				if got := s.pair.Status(); got.OnAir || got.Active != Backup || got.ActiveStreamID != "backup" {
					t.Fatalf("both lost: %+v", got)
				}
				lost := s.now()
				s.run(time.Minute)
				if n := len(s.output.since(lost + ms)); n > 0 {
					t.Fatalf("%d pictures from nowhere", n)
				}
				e := tt.returns(s)
				e.start()
				s.run(100 * ms)
				s.wantOn(tt.want, tt.why, tt.n)
				pictures := s.output.since(lost + ms)
				if len(pictures) == 0 || pictures[0].now > lost+time.Minute+10*ms {
					t.Fatalf("no picture at once: %v", pictures)
				}
				for _, p := range pictures {
					if late := p.now - p.at; late > 10*ms {
						t.Errorf("%v is shown %v after its time", p, late)
					}
				}
				s.run(3 * time.Second)
			})
		})
	}
}

func TestWithoutABackupNothingSwitches(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.Backup, cfg.BackupID = nil, "" }, func(t *testing.T, s *testPair) {
		s.primary.start()
		s.backup.start()
		s.run(3 * time.Second)
		s.wantOn(Primary, ReasonStarted, 0)
		s.primary.kill()
		s.run(10 * time.Second)
		if got := s.pair.Status(); got.OnAir || got.Active != Primary || got.Switches != 0 || len(got.Legs) != 1 {
			t.Fatalf("%+v", got)
		}
		s.pair.SetPolicy(standard.pin(Backup))
		s.run(time.Second)
		s.primary.start()
		s.run(100 * ms)
		s.wantOn(Primary, ReasonStarted, 0)
		for _, p := range s.output.sent {
			if legOf(p.unit) != "primary" {
				t.Fatalf("sent %v", p)
			}
		}
	})
}

func TestBackupFirstThenThePrimary(t *testing.T) {
	tests := []struct {
		name     string
		after    time.Duration
		pictures int // how many went by before it connected: 50 are a GOP
		want     Role
		why      Reason
	}{
		{"5 s later: planned switch to it", 5 * time.Second, 0, Primary, ReasonPrimaryStarted},
		{"11 s later: stays", 11 * time.Second, 0, Backup, ReasonStarted},
		{"5 s later in the middle of a GOP: at its first IDR", 5 * time.Second, 20, Primary, ReasonPrimaryStarted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				s.backup.start()
				s.run(tt.after)
				// As from a browser: sound comes first.
				s.primary.frame = 0
				s.primary.start()
				s.run(290 * ms)
				s.wantOn(Backup, ReasonStarted, 0)
				s.primary.frame, s.primary.nextPicture = 40*ms, s.now()+5*ms
				s.primary.must(s.primary.pub.SetVideoParameters(testSPS, testPPS))
				s.primary.pictures = tt.pictures
				s.run(4 * time.Second)
				if got := s.pair.Status(); got.Active != tt.want || got.Reason != tt.why {
					t.Fatalf("on air %q for %s, want %q for %s", got.Active, got.Reason, tt.want, tt.why)
				}
			})
		})
	}
}

func TestBlips(t *testing.T) {
	for _, tt := range []struct {
		mode Mode
		want int // switches after ten blips and 11 s
	}{{Sticky, 1}, {PreferPrimary, 2}} {
		t.Run(string(tt.mode), func(t *testing.T) {
			inStudio(t, with(func(p *Policy) { p.Mode = tt.mode }), func(t *testing.T, s *testPair) {
				s.bothOn()
				for range 10 {
					s.primary.kill()
					s.run(time.Second)
					s.primary.start()
					s.run(2 * time.Second)
					if n := s.pair.Status().Switches; n != 1 {
						t.Fatalf("%d switches during the blips, want 1", n)
					}
				}
				s.run(11 * time.Second)
				if n := s.pair.Status().Switches; n != tt.want {
					t.Errorf("%d switches in all, want %d", n, tt.want)
				}
			})
		})
	}
}

func TestPolicyCanChangeAtAnyTime(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.kill()
		s.run(time.Second)
		s.primary.start()
		s.run(20 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.pair.SetPolicy(standard.prefer()) // it recovered long ago
		s.run(2100 * ms)
		s.wantOn(Primary, ReasonPrimaryRecovered, 2)
		s.pair.SetPolicy(standard.prefer().pin(Backup))
		s.run(2100 * ms)
		s.wantOn(Backup, ReasonSelected, 3)
		s.pair.SetPolicy(standard.prefer().pin(Primary))
		s.run(2100 * ms)
		s.wantOn(Primary, ReasonSelected, 4)

		patient := standard
		patient.InputLoss = 5 * time.Second
		s.pair.SetPolicy(patient)
		if got := s.pair.Policy(); got != patient {
			t.Errorf("policy %+v, want %+v", got, patient)
		}
		s.primary.pause(true)
		s.run(4900 * ms)
		s.wantOn(Primary, ReasonSelected, 4)
		s.run(200 * ms)
		s.wantOn(Backup, ReasonPrimaryInputLost, 5)
	})
}
