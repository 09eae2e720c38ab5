package failover

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// there returns a peer that has played r for two minutes, a minute longer than on has.
func there(r Role) Standing {
	return Standing{Active: r, OnAir: true, Since: at - 2*time.Minute, FirstPicture: at - 10*time.Minute, Final: true, Settled: true}
}

func (s Standing) but(change func(*Standing)) *Standing {
	change(&s)
	return &s
}

func generation(p Policy, n int64) Policy {
	p.Generation = n
	return p
}

func TestAgree(t *testing.T) {
	const loss = at + time.Second // what waiting alone does to a leg that is fine until now
	stay := func(r Role) Decision { return Decision{Active: r, Reason: ReasonStarted, Recheck: loss} }
	follow := func(r Role) Decision {
		return Decision{Active: r, Reason: ReasonFollowedPeer, Urgency: Planned, Recheck: loss}
	}
	settledFor := func(d time.Duration) State { return on(Primary).wholeFor(Primary, d) }
	followed := func(ago time.Duration) State {
		s := on(Primary)
		s.lastFollowed = at - ago
		return s
	}
	older := func(*Standing) {}
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		peer            *Standing
		want            Decision
	}{
		{"the peer cannot be heard: stay", standard, on(Primary), whole(), whole(), nil, stay(Primary)},
		{"the peer plays the same: stay", standard, on(Primary), whole(), whole(), there(Primary).but(older), stay(Primary)},
		{"the peer has played nothing yet: stay", standard, on(Primary), whole(), whole(), &Standing{}, stay(Primary)},
		{"the peer plays the other leg for longer: follow it", standard, on(Primary), whole(), whole(), there(Backup).but(older), follow(Backup)},
		{"the same, the other way round", standard, on(Backup), whole(), whole(), there(Primary).but(older), follow(Primary)},
		{"the peer is newer on its leg: it is to follow", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Since = at - time.Second }), stay(Primary)},
		{"both at the same time: the primary stays", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Since = at - time.Minute }), stay(Primary)},
		{"both at the same time: the backup gives way", standard, on(Backup), whole(), whole(),
			there(Primary).but(func(s *Standing) { s.Since = at - time.Minute }), follow(Primary)},
		{"a leg is not whole here for long enough: wait until it is", standard, settledFor(1500 * ms), whole(), whole(), there(Backup).but(older),
			Decision{Active: Primary, Reason: ReasonStarted, Recheck: at + 500*ms}},
		{"the peer's leg is lost here: stay", standard, on(Primary).wholeFor(Backup, at), whole(), absent(), there(Backup).but(older), stay(Primary)},
		{"a leg is not whole there: stay", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Settled = false }), stay(Primary)},
		{"the peer is about to play this leg: stay", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.SwitchingTo = Primary }), stay(Primary)},
		{"the peer's leg cannot be entered: stay", standard, on(Primary), whole(), func() Leg {
			l := whole()
			l.EntryPoint = false
			return l
		}(), there(Backup).but(older), stay(Primary)},
		{"the leg here is lost: fail over, whatever the peer plays", standard, on(Primary), silent(whole(), time.Second), whole(), there(Primary).but(older),
			Decision{Active: Backup, Reason: ReasonPrimaryInputLost, Urgency: Urgent, Recheck: loss}},
		{"the peer's policy is newer: follow it, although this leg is on for longer", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation, s.Since = 2, at-time.Second }), follow(Backup)},
		{"the peer's policy is older: stay", generation(standard, 3), on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation = 2 }), stay(Primary)},
		{"it has followed the peer a moment ago: wait", standard, followed(29500 * ms), whole(), whole(), there(Backup).but(older),
			Decision{Active: Primary, Reason: ReasonStarted, Recheck: at + 500*ms}},
		{"it has followed the peer some time ago: follow it again", standard, followed(followInterval), whole(), whole(), there(Backup).but(older), follow(Backup)},
		{"it has followed the peer a moment ago, but now the policy is newer there: follow it", standard, followed(time.Second), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation = 2 }), follow(Backup)},
		{"it has followed the peer a moment ago, but now somebody has chosen the other leg there: follow", standard, followed(time.Second), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Preferred = Backup }), follow(Backup)},
		{"the policy leans to this leg: stay", standard.prefer(), on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Preferred = Primary }), stay(Primary)},
		{"somebody has chosen the peer's leg there: follow", standard, on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Preferred, s.Since = Backup, at-time.Second }), follow(Backup)},
		{"people have chosen different legs: leave it to them", standard.pin(Primary), on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Preferred = Backup }), stay(Primary)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			legs := Legs{tt.primary, tt.backup}
			d := Decide(tt.policy, legs, tt.state, at)
			got := Agree(tt.policy, legs, tt.state, PeerView{HasPeer: true, Peer: tt.peer}, d, at)
			want := tt.want
			if tt.name == "the peer's leg is lost here: stay" {
				want.Recheck = d.Recheck
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if alone := Agree(tt.policy, legs, tt.state, PeerView{}, d, at); alone != d {
				t.Errorf("without a peer it decides %+v", alone)
			}
		})
	}
}

func TestAPairThatBeginsPlaysWhatItsPeerPlays(t *testing.T) {
	const loss = at + time.Second
	started := func(r Role) Decision {
		return Decision{Active: r, Reason: ReasonStarted, Urgency: Urgent, Recheck: loss}
	}
	adopt := func(r Role) Decision {
		return Decision{Active: r, Reason: ReasonFollowedPeer, Urgency: Urgent, Recheck: loss}
	}
	wait := func(until time.Duration) Decision { return Decision{Reason: ReasonNoLiveStream, Recheck: until} }
	tests := []struct {
		name            string
		primary, backup Leg
		began           time.Duration // how long ago
		peer            *Standing
		want            Decision
	}{
		{"both legs are there, the peer plays the backup: the backup", whole(), whole(), 10 * ms, there(Backup).but(func(*Standing) {}), adopt(Backup)},
		{"only that is here: it is no other choice", absent(), whole(), 10 * ms, there(Backup).but(func(*Standing) {}), started(Backup)},
		{"the same, long after the pair began here", whole(), whole(), time.Hour, there(Backup).but(func(*Standing) {}), adopt(Backup)},
		{"the peer has not been heard yet: wait a moment", whole(), absent(), 100 * ms, nil, wait(at + 900*ms)},
		{"it is not heard: begin without it", whole(), absent(), time.Second, nil, started(Primary)},
		{"what it plays is not here yet: wait a moment", whole(), absent(), 100 * ms, there(Backup).but(func(*Standing) {}), wait(at + 900*ms)},
		{"it does not come: begin with what is here", whole(), absent(), time.Second, there(Backup).but(func(*Standing) {}), started(Primary)},
		{"the peer has played nothing: begin at once", absent(), whole(), 10 * ms, &Standing{}, started(Backup)},
		{"the peer has nothing on air: begin at once", absent(), whole(), 10 * ms, there(Primary).but(func(s *Standing) { s.OnAir = false }), started(Backup)},
		{"what it plays has no name here: begin at once", absent(), whole(), 10 * ms, there("").but(func(*Standing) {}), started(Backup)},
		{"its leg lost its picture, the other one is whole: the whole one", audioSilent(whole(), time.Minute), whole(), time.Second,
			there(Primary).but(func(*Standing) {}), started(Backup)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			legs := Legs{tt.primary, tt.backup}
			d := Decide(standard, legs, State{}, at)
			got := Agree(standard, legs, State{}, PeerView{HasPeer: true, Began: at - tt.began, Peer: tt.peer}, d, at)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func drawStanding(t *rapid.T, label string) Standing {
	role := rapid.SampledFrom([]Role{"", Primary, Backup})
	return Standing{
		Active: rapid.SampledFrom([]Role{Primary, Backup}).Draw(t, label+" active"), OnAir: true, Settled: true,
		Since:       time.Duration(rapid.IntRange(1, 3).Draw(t, label+" since")),
		SwitchingTo: role.Draw(t, label+" switching to"), Preferred: role.Draw(t, label+" preferred"),
		Generation: int64(rapid.IntRange(0, 2).Draw(t, label+" generation")),
	}
}

func TestBothServersComeToTheSameLeg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawStanding(t, "a"), drawStanding(t, "b")
		if one, other := agreed(a, b), agreed(b, a); one != other {
			t.Fatalf("one comes to %q, the other to %q", one, other)
		}
	})
}

func TestAPairFollowsItsPeerAtAnIDR(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		s.pair.SetPeer(&Standing{})
		s.bothOn()
		here, _, changed := s.pair.Standing()
		if here.Active != Primary || !here.OnAir || !here.Settled || here.FirstPicture == 0 {
			t.Fatalf("the peer is told %+v", here)
		}
		peer := Standing{Active: Backup, OnAir: true, Since: here.Since - time.Second, Settled: true}
		s.pair.SetPeer(&peer)
		select {
		case <-changed:
		default:
			t.Error("nobody is told that the peer changed")
		}
		s.wait()
		s.wantOn(Primary, ReasonStarted, 0)
		if to := s.pair.Status().SwitchingTo; to != Backup {
			t.Errorf("switching to %q", to)
		}
		s.run(s.backup.toIDR() + 5*ms)
		s.wantOn(Backup, ReasonFollowedPeer, 1)
		if here, there, _ := s.pair.Standing(); here.Active != Backup || !here.Final || *there != peer {
			t.Errorf("the standings are %+v, %+v", here, there)
		}
		s.run(time.Second)
	})
}

func TestAPairThatIsAloneAfterAllBeginsSoon(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		s.primary.start()
		s.run(peerWait - 100*ms)
		if st := s.pair.Status(); st.Active != "" {
			t.Errorf("%s is on at once", st.Active)
		}
		s.run(150 * ms)
		s.wantOn(Primary, ReasonStarted, 0)
	})
}

func TestAPairAdoptsTheBackupFromItsPeer(t *testing.T) {
	for final, want := range map[bool]Role{true: Backup, false: Primary} {
		t.Run(fmt.Sprintf("the primary comes later, final %v: %s", final, want), func(t *testing.T) {
			inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
				s.pair.SetPeer(&Standing{Active: Backup, OnAir: true, Since: s.now(), FirstPicture: s.now(), Final: final})
				s.backup.start()
				s.run(200 * ms)
				s.wantOn(Backup, ReasonStarted, 0)
				s.primary.start()
				s.run(5 * time.Second)
				if got := s.pair.Status().Active; got != want {
					t.Errorf("%s is on", got)
				}
			})
		})
	}
}

// A server that was replaced returns to the pinned leg when its peer does, and not sooner.
func TestAPairThatBeginsTakesAPinThatItsPeerHasForAnOldOne(t *testing.T) {
	for name, tt := range map[string]struct {
		peer Standing
		want Role
	}{
		"the peer has it too: when the leg has recovered": {Standing{Preferred: Primary, Generation: 2}, Backup},
		"the peer has none yet: at once":                  {Standing{Generation: 1}, Primary},
		"the peer prefers it by an older policy: at once": {Standing{Preferred: Primary, Generation: 1}, Primary},
	} {
		t.Run(name, func(t *testing.T) {
			policy := standard.pin(Primary)
			policy.Generation = 2
			inStudio(t, func(cfg *PairConfig) { cfg.HasPeer, cfg.Policy = true, policy }, func(t *testing.T, s *testPair) {
				tt.peer.Active, tt.peer.OnAir, tt.peer.Since, tt.peer.Final = Backup, true, s.now(), true
				s.pair.SetPeer(&tt.peer)
				s.backup.start()
				s.run(200 * ms)
				s.wantOn(Backup, ReasonStarted, 0)
				s.primary.start()
				s.run(standard.Recovery - time.Second)
				if got := s.pair.Status().Active; got != tt.want {
					t.Errorf("%s is on", got)
				}
				s.run(3 * time.Second)
				s.wantOn(Primary, ReasonSelected, 1)
			})
		})
	}
}
