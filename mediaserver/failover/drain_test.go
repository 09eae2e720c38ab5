package failover

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func leaving(l Leg) Leg {
	l.Leaving = true
	return l
}

func TestALegWhoseServerEndsIsLeft(t *testing.T) {
	const loss = at + time.Second
	stay := func(r Role) Decision { return Decision{Active: r, Reason: ReasonStarted, Recheck: loss} }
	to := func(r Role, why Reason, u Urgency) Decision {
		return Decision{Active: r, Reason: why, Urgency: u, Recheck: loss}
	}
	withoutSound := func(l Leg) Leg { return audioSilent(l, 4*time.Second) }
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		want            Decision
	}{
		{"the primary's ends: a planned switch", standard, on(Primary), leaving(whole()), whole(), to(Backup, ReasonPrimaryDraining, Planned)},
		{"the backup's ends: a planned switch", standard, on(Backup), whole(), leaving(whole()), to(Primary, ReasonBackupDraining, Planned)},
		{"the other leg has come this moment: a planned switch", standard, on(Primary).wholeFor(Backup, 0), leaving(whole()), whole(),
			to(Backup, ReasonPrimaryDraining, Planned)},
		{"the primary is preferred: it is left all the same", standard.prefer(), on(Primary), leaving(whole()), whole(), to(Backup, ReasonPrimaryDraining, Planned)},
		{"the primary is pinned: it is left all the same", standard.pin(Primary), carriedOut(Primary, on(Primary)), leaving(whole()), whole(),
			to(Backup, ReasonPrimaryDraining, Planned)},
		{"the primary is preferred: it is not gone back to", standard.prefer(), on(Backup), leaving(whole()), whole(), stay(Backup)},
		{"the primary is pinned now: it is not gone to", standard.pin(Primary), on(Backup), leaving(whole()), whole(), stay(Backup)},
		{"the primary comes late: it is not gone to", standard,
			State{Active: Backup, Reason: ReasonStarted, Since: at - 6*time.Second, FirstPicture: at - 6*time.Second, backupWhole: at - 6*time.Second, primaryWhole: at - time.Second},
			leaving(whole()), whole(), stay(Backup)},
		{"the other leg is away: stay", standard, on(Primary), leaving(whole()), absent(), stay(Primary)},
		{"the other leg has no sound: stay for as long as there is more", standard, on(Primary), leaving(whole()), withoutSound(whole()), stay(Primary)},
		{"the other leg cannot be entered: stay", standard, on(Primary), leaving(whole()), withoutEntryPoint(whole()), stay(Primary)},
		{"both servers end: stay", standard, on(Primary), leaving(whole()), leaving(whole()), stay(Primary)},
		{"both servers end, the other leg is pinned: go to it", standard.pin(Backup), on(Primary), leaving(whole()), leaving(whole()), to(Backup, ReasonSelected, Planned)},
		{"the leg on air is lost: fail over to what is left", standard, on(Backup), leaving(whole()), absent(), to(Primary, ReasonBackupDisconnected, Urgent)},
		{"the leg on air has no sound: fail over to what is left", standard, on(Backup), leaving(whole()), withoutSound(whole()), to(Primary, ReasonBackupDegraded, Urgent)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(tt.policy, Legs{tt.primary, tt.backup}, tt.state, at)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAgreeOnALegWhoseServerEnds(t *testing.T) {
	const loss = at + time.Second
	stay := func(r Role) Decision { return Decision{Active: r, Reason: ReasonStarted, Recheck: loss} }
	to := func(r Role, why Reason) Decision {
		return Decision{Active: r, Reason: why, Urgency: Planned, Recheck: loss}
	}
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		peer            *Standing
		want            Decision
	}{
		{"the peer has played it for longer and does not know yet: do not follow", standard, on(Backup), leaving(whole()), whole(),
			there(Primary).but(func(*Standing) {}), stay(Backup)},
		{"the same, and its policy is newer: do not follow", standard, on(Backup), leaving(whole()), whole(),
			there(Primary).but(func(s *Standing) { s.Generation = 7 }), stay(Backup)},
		{"the peer still plays it: leave it", standard, on(Primary), leaving(whole()), whole(),
			there(Primary).but(func(*Standing) {}), to(Backup, ReasonPrimaryDraining)},
		{"the peer still plays it and its policy is newer: leave it", standard, on(Primary), leaving(whole()), whole(),
			there(Primary).but(func(s *Standing) { s.Generation = 7 }), to(Backup, ReasonPrimaryDraining)},
		{"both servers end and the peer has played the other leg for longer: follow", standard, on(Primary), leaving(whole()), leaving(whole()),
			there(Backup).but(func(*Standing) {}), to(Backup, ReasonFollowedPeer)},

		// The policy here is stale.
		{"a newer policy is content with this leg: stay", standard.prefer(), on(Backup), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation = 7 }), stay(Backup)},
		{"a newer policy is about to come to this leg: stay", standard.pin(Backup), on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation, s.SwitchingTo = 7, Primary }), stay(Primary)},
		{"a newer policy plays the other leg: go", standard.pin(Backup), on(Primary), whole(), whole(),
			there(Backup).but(func(s *Standing) { s.Generation = 7 }), to(Backup, ReasonSelected)},
		{"the policy there is older: go", generation(standard.pin(Backup), 8), on(Primary), whole(), whole(),
			there(Primary).but(func(s *Standing) { s.Generation = 7 }), to(Backup, ReasonSelected)},
		{"the policies are the same: go", generation(standard.pin(Backup), 7), on(Primary), whole(), whole(),
			there(Primary).but(func(s *Standing) { s.Generation = 7 }), to(Backup, ReasonSelected)},
		{"a newer policy is content with this leg, which is lost: fail over", standard, on(Primary), absent(), whole(),
			there(Primary).but(func(s *Standing) { s.Generation = 7 }),
			Decision{Active: Backup, Reason: ReasonPrimaryDisconnected, Urgency: Urgent, Recheck: loss}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			legs := Legs{tt.primary, tt.backup}
			d := Decide(tt.policy, legs, tt.state, at)
			got := Agree(tt.policy, legs, tt.state, PeerView{HasPeer: true, Peer: tt.peer}, d, at)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhoHasLeftALeg(t *testing.T) {
	for _, tt := range []struct {
		standing Standing
		want     bool
	}{
		{Standing{Active: Backup, OnAir: true}, true},
		{Standing{Active: Backup, OnAir: true, SwitchingTo: Primary}, false},
		{Standing{Active: Backup}, false}, // so the pair may return to the primary
		{Standing{Active: Primary, OnAir: true}, false},
		{Standing{Active: Primary, OnAir: true, SwitchingTo: Backup}, false}, // not before the switch is made
		{Standing{}, false},
	} {
		if got := tt.standing.HasLeft(Primary); got != tt.want {
			t.Errorf("%+v: %v", tt.standing, got)
		}
	}
}

// Servers end and are replaced, one after the other or both together, as in a rollout or an
// eviction. Each server ends once both servers have left its leg. Both legs are whole except while
// an encoder moves. So a server that plays goes on playing, with few switches. The switches are
// planned except where both servers end together.
func TestServersThatEndAreLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := standard
		switch rapid.IntRange(0, 2).Draw(t, "policy") {
		case 1:
			policy = policy.prefer()
		case 2:
			policy = policy.pin(rapid.SampledFrom([]Role{Primary, Backup}).Draw(t, "pin"))
		}
		rules := rapid.SampledFrom([]int{0, Rules}).Draw(t, "rules")
		const step, idrs, timeout, move, calm = 100 * ms, 20, 300, 25, 700 // steps
		first := rapid.SampledFrom([]Role{Primary, Backup}).Draw(t, "active at first")
		skew := rapid.IntRange(0, idrs-1).Draw(t, "IDRs apart")
		draining := [2]int{50, rapid.IntRange(0, 400).Draw(t, "the backup's server ends")}
		together := draining[1]+timeout > draining[0] && draining[1] < draining[0]+timeout
		roles := [2]Role{Primary, Backup}

		begun := time.Minute
		servers := [2]*decider{}
		for i := range servers {
			servers[i] = &decider{policy: policy, rules: rules, began: begun, state: State{
				Active: first, Reason: ReasonStarted, Since: begun - time.Hour, FirstPicture: begun - time.Hour, Switches: 1,
				primaryWhole: begun - time.Hour, backupWhole: begun - time.Hour, lastPinned: policy.Select,
			}}
		}
		var told [2]*Standing
		ends := [2]bool{}                       // whether each server is about to end
		since := [2]time.Duration{begun, begun} // when each leg's publication began
		back := [2]int{}                        // when each leg's encoder has moved
		took := [2]int{}                        // how many steps passed until each server was released
		for n := range 400 + timeout + move + calm {
			now := begun + time.Duration(n)*step
			var legs Legs
			for leg, l := range []*Leg{&legs.Primary, &legs.Backup} {
				if ends[leg] = ends[leg] || n == draining[leg]; n < back[leg] {
					continue
				}
				*l = arriving(since[leg], now)
				l.Leaving = ends[leg]
			}
			var next [2]*Standing
			for i, s := range servers {
				standing := s.step(t, legs, told[i], (n+i*skew)%idrs == 0, now)
				next[1-i] = &standing
				if active := legs.Leg(s.state.Active); !active.Publishing && legs.Leg(s.state.Active.Other()).Publishing {
					t.Fatalf("%v: server %d plays nothing", now, i)
				}
			}
			told = next
			for i := range servers {
				// released reports whether both servers tell each other that they have left the
				// leg.
				released := told[i] != nil && told[i].HasLeft(roles[i]) && told[1-i].HasLeft(roles[i])
				if ends[i] && (released || n == draining[i]+timeout) {
					ends[i], took[i] = false, n-draining[i]
					since[i], back[i] = now+move*step, n+move
					servers[i], told[i], told[1-i] = &decider{policy: policy, rules: rules, began: now, switches: servers[i].switches}, nil, nil
				}
			}
		}
		if a, b := servers[0].state.Active, servers[1].state.Active; a != b {
			t.Fatalf("one plays %s, the other %s\n%q\n%q", a, b, servers[0].switches, servers[1].switches)
		}
		if most := 8; len(servers[0].switches) > most || len(servers[1].switches) > most {
			t.Fatalf("so many switches:\n%q\n%q", servers[0].switches, servers[1].switches)
		}
		for i := range servers {
			if most := 2*idrs + 3; !together && took[i] > most {
				t.Fatalf("the %s's server was left after %d steps\n%q\n%q", roles[i], took[i], servers[0].switches, servers[1].switches)
			}
			if took[i] >= timeout {
				t.Fatalf("the %s's server was not left in time\n%q\n%q", roles[i], servers[0].switches, servers[1].switches)
			}
		}
	})
}

// A server replaces another and begins with the backup, since the peer is about to switch to the
// backup. A primary that comes a moment later is no reason to leave the backup.
func TestAServerThatBeginsHeedsWhatItsPeerHasDone(t *testing.T) {
	inStudio(t, func(cfg *PairConfig) { cfg.HasPeer = true }, func(t *testing.T, s *testPair) {
		peer := Standing{Active: Primary, OnAir: true, SwitchingTo: Backup, Since: s.now() - time.Second, FirstPicture: s.now() - time.Second}
		s.pair.SetPeer(&peer)
		s.backup.start()
		s.run(peerWait + 200*ms)
		s.wantOn(Backup, ReasonStarted, 0)
		switched := Standing{Active: Backup, OnAir: true, Since: s.now(), FirstPicture: peer.FirstPicture, Final: true}
		s.pair.SetPeer(&switched)
		s.primary.start()
		s.run(5 * time.Second)
		s.wantOn(Backup, ReasonStarted, 0)
		s.pair.SetPeer(nil)
		s.run(time.Second)
		s.wantOn(Backup, ReasonStarted, 0)
	})
}
