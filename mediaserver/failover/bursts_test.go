package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// patient makes the pair tolerate gaps of 5 s.
func patient(cfg *PairConfig) { cfg.Policy.MaxJitter = 5 * time.Second }

func TestDecideAboutInputInBursts(t *testing.T) {
	policy := standard
	policy.Rules, policy.MaxJitter = Rules, 5*time.Second
	impatient := policy
	impatient.MaxJitter = 0
	inBursts := func(l Leg) Leg {
		l.Burst, l.GapLength, l.GapEnd = 4*time.Second, 4*time.Second, at-time.Second
		return l
	}
	backFor := func(d time.Duration) Leg {
		l := whole()
		l.GapLength, l.GapEnd = 4*time.Second, at-d
		return l
	}
	unplayable := func(l Leg) Leg {
		l.Video.Unplayable = true
		return l
	}
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		want            Role
		urgency         Urgency
		recheck         time.Duration // from now; 0: not checked
	}{
		{"the active leg is silent, the other one regular: fail over", policy, on(Primary), silent(whole(), time.Second), whole(), Backup, Urgent, 0},
		{"both fell silent, the active leg a moment sooner: stay", policy, on(Primary), silent(whole(), time.Second), silent(whole(), 600*ms), Primary, "", 400 * ms},
		{"the active leg disconnected, the other is silent: fail over", policy, on(Primary), absent(), silent(whole(), 600*ms), Backup, Urgent, 0},
		{"the other has just come back from its first gap: wait as long as that was", policy, on(Primary), silent(whole(), time.Second), backFor(3500 * ms), Primary, "", 500 * ms},
		{"it has been back for as long: fail over", policy, on(Primary), silent(whole(), time.Second), backFor(4 * time.Second), Backup, Urgent, 0},
		{"it has just come back from a gap that is a loss to the policy: fail over", impatient, on(Primary), silent(whole(), time.Second), backFor(time.Second), Backup, Urgent, 0},
		{"the other comes in bursts: not before its gap and a half", policy, on(Primary), silent(whole(), 5900*ms), inBursts(whole()), Primary, "", 100 * ms},
		{"the other comes in bursts, after its gap and a half: fail over", policy, on(Primary), silent(whole(), 6*time.Second), inBursts(whole()), Backup, Urgent, 0},
		{"the active leg comes in bursts, and is silent for less than its gap and a half", policy, on(Primary), inBursts(silent(whole(), 5900*ms)), inBursts(whole()), Primary, "", 0},
		{"the active leg disconnected, the other comes in bursts: fail over", policy, on(Primary), absent(), inBursts(whole()), Backup, Urgent, 0},
		{"the active leg comes in bursts, the other is regular: switch", policy, on(Primary), inBursts(whole()), whole(), Backup, Planned, 0},
		{"nobody can play the active leg's picture, the other comes in bursts: fail over", policy, on(Primary), unplayable(whole()), inBursts(whole()), Backup, Urgent, 0},
		{"both come in bursts: stay", policy, on(Primary), inBursts(whole()), inBursts(whole()), Primary, "", 0},
		{"the preferred leg comes in bursts: stay", policy.prefer(), on(Backup), inBursts(whole()), whole(), Backup, "", 0},
		{"a pinned leg comes in bursts: a person's choice comes first", policy.pin(Primary), on(Backup), inBursts(whole()), whole(), Primary, Planned, 0},
		{"a pinned leg on air comes in bursts: stay", policy.pin(Primary), on(Primary), inBursts(whole()), whole(), Primary, "", 0},
		{"the policy does not put up with bursts: they do not count", impatient, on(Primary), inBursts(whole()), whole(), Primary, "", 0},
		{"a peer of the version before: they do not count", standard, on(Primary), inBursts(whole()), whole(), Primary, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(tt.policy, Legs{tt.primary, tt.backup}, tt.state, at)
			if got.Active != tt.want || got.Urgency != tt.urgency {
				t.Errorf("%+v, want %s %s", got, tt.urgency, tt.want)
			}
			if tt.recheck != 0 && got.Recheck != at+tt.recheck {
				t.Errorf("looks again after %v, want %v", got.Recheck-at, tt.recheck)
			}
		})
	}
}

func (e *encoder) inBursts(length, phase time.Duration) { e.collect, e.phase = length, phase }

// pictureRates returns how many pictures went out in each second since a time.
func (s *testPair) pictureRates(since time.Duration) []int {
	rates := make([]int, int((s.now()-since)/time.Second))
	for _, p := range s.output.sent {
		if n := int((p.now - since) / time.Second); p.now >= since && n < len(rates) {
			rates[n]++
		}
	}
	return rates
}

// wantEven checks that 25 pictures a second and their sound have gone out since a time.
func (s *testPair) wantEven(since time.Duration) {
	s.t.Helper()
	if rates := s.pictureRates(since); slices.Min(rates) < 23 || slices.Max(rates) > 27 {
		s.t.Errorf("pictures in each second: %v, want 25", rates)
	}
	var last, longest time.Duration
	for _, h := range s.output.heard {
		if h.now >= since && last != 0 {
			longest = max(longest, h.now-last)
		}
		last = h.now
	}
	if longest > 100*ms {
		s.t.Errorf("no sound for %v", longest)
	}
}

func (s *testPair) warned(role Role) bool {
	for _, l := range s.pair.Status().Legs {
		if l.Role == role {
			return slices.ContainsFunc(l.Warnings, func(w stream.Warning) bool { return w.Code == warningBursts })
		}
	}
	return false
}

func TestInputInBurstsPlaysEvenly(t *testing.T) {
	t.Parallel()
	for name, phase := range map[string]time.Duration{
		"both legs at the same time": 0, "the legs by turns": 2 * time.Second, "one a little after the other": 500 * ms,
	} {
		t.Run(name, func(t *testing.T) {
			inStudio(t, patient, func(t *testing.T, s *testPair) {
				s.bothOn()
				s.primary.inBursts(4*time.Second, 0)
				s.backup.inBursts(4*time.Second, phase)
				s.run(20 * time.Second) // until the gaps have repeated, and the longest has come
				switches := s.pair.Status().Switches
				since, offAir := s.now(), 0
				for range 580 {
					s.run(time.Second)
					if !s.pair.Status().OnAir {
						offAir++
					}
				}
				s.wantEven(since)
				if got := s.pair.Status().Switches; switches > 1 || got != switches {
					t.Errorf("%d switches at first and %d later, want one at most and none", switches, got-switches)
				}
				if offAir > 0 {
					t.Errorf("off air in %d of 580 looks", offAir)
				}
				if !s.warned(Primary) || !s.warned(Backup) {
					t.Errorf("the warnings are %+v", s.pair.Status().Legs)
				}
			})
		})
	}
}

func TestTheRegularLegIsChosen(t *testing.T) {
	for _, mode := range []Mode{Sticky, PreferPrimary} {
		t.Run(string(mode), func(t *testing.T) {
			inStudio(t, func(cfg *PairConfig) { patient(cfg); cfg.Policy.Mode = mode }, func(t *testing.T, s *testPair) {
				s.bothOn()
				s.primary.inBursts(900*ms, 0) // shorter than the loss time, so not noticed
				s.run(10 * time.Second)
				s.wantOn(Backup, ReasonPrimaryDegraded, 1)
				since := s.now()
				s.run(3 * time.Minute)
				s.wantOn(Backup, ReasonPrimaryDegraded, 1)
				s.wantEven(since)
				if s.warned(Backup) || !s.warned(Primary) {
					t.Errorf("the warnings are %+v", s.pair.Status().Legs)
				}
				s.primary.collect = 0
				s.run(3 * time.Minute) // a minute until the gap is forgotten, and the time to return
				if s.warned(Primary) {
					t.Error("the warning stays")
				}
				if want := map[Mode]Role{Sticky: Backup, PreferPrimary: Primary}[mode]; s.pair.Status().Active != want {
					t.Errorf("%s is on, want %s", s.pair.Status().Active, want)
				}
			})
		})
	}
}

func TestALossOfInputInBurstsIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		lose  func(*encoder)
		after time.Duration
	}{
		"disconnected: at once":                    {(*encoder).kill, 50 * ms},
		"silent: after half as long again as gaps": {func(e *encoder) { e.pause(true) }, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inStudio(t, patient, func(t *testing.T, s *testPair) {
				s.bothOn()
				s.primary.inBursts(4*time.Second, 0)
				s.backup.inBursts(4*time.Second, 0)
				s.run(60 * time.Second)
				s.wantOn(Primary, ReasonStarted, 0)
				s.run((4*time.Second - s.now()%(4*time.Second)) + 100*ms) // just after a burst
				tt.lose(s.primary)
				lost := s.now()
				s.runUntil("failover", func() bool { return s.pair.Status().Active == Backup })
				if took := s.now() - lost; took > tt.after || took < tt.after-500*ms {
					t.Errorf("failed over after %v, want %v", took, tt.after)
				}
				s.run(20 * time.Second)
				since := s.now()
				s.run(20 * time.Second)
				s.wantEven(since)
			})
		})
	}
}

// The delay is for the gaps of the active leg, so it ends with the next switch.
func TestTheDelayGoesWithTheNextSwitch(t *testing.T) {
	inStudio(t, patient, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.inBursts(4*time.Second, 0)
		s.backup.inBursts(4*time.Second, 0)
		s.run(40 * time.Second)
		s.primary.collect, s.backup.collect = 0, 0
		s.run(30 * time.Second)
		if late := s.output.lateness(s.primary); late < 3*time.Second {
			t.Fatalf("the delay is %v although nothing has switched", late)
		}
		s.primary.kill()
		s.run(5 * time.Second)
		if late := s.output.lateness(s.backup); late > 100*ms {
			t.Errorf("the backup is regular and delayed by %v", late)
		}
	})
}

// lateness returns the age of the last picture when it went out. Encoder e has made it.
func (s *outputRecorder) lateness(e *encoder) time.Duration {
	last := s.sent[len(s.sent)-1]
	return last.now - e.zero - time.Duration(numberOf(last.unit))*e.frame
}

func TestWhatIsHeldBackIsBounded(t *testing.T) {
	for name, size := range map[string]int{"by its bytes": 100_000, "by its number": 1} {
		t.Run(name, func(t *testing.T) {
			h := delayBuffer{delay: time.Minute}
			for i := range 10_000 {
				h.add(&stream.AccessUnit{Kind: stream.Audio, Frame: make([]byte, size), DTS: time.Duration(i) * ms})
				for u, _ := h.next(0); u != nil; u, _ = h.next(0) {
				}
			}
			if len(h.units) > maxHeldUnits || h.bytes > maxHeldBytes {
				t.Errorf("%d access units of %d bytes are held back", len(h.units), h.bytes)
			}
			if len(h.units) == 0 {
				t.Error("nothing is held back")
			}
		})
	}
}

func TestInputInBurstsIsNotPutUpWithWhereThePolicyDoesNot(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.inBursts(4*time.Second, 0)
		s.backup.inBursts(4*time.Second, 2*time.Second)
		s.run(40 * time.Second)
		if got := s.pair.Status().Switches; got < 5 {
			t.Errorf("%d switches: the gaps are no losses", got)
		}
		if s.warned(Primary) {
			t.Error("there is a warning")
		}
	})
}
