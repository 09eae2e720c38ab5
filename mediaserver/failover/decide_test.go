package failover

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// on returns the state of a pair that has played r for a minute. Both legs have had full rank for
// longer.
func on(r Role) State {
	return State{
		Active: r, Reason: ReasonStarted, Since: at - time.Minute, FirstPicture: at - 10*time.Minute, Switches: 2,
		primaryWhole: at - 2*time.Minute, backupWhole: at - 2*time.Minute,
	}
}

func (s State) wholeFor(r Role, d time.Duration) State {
	if r == Primary {
		s.primaryWhole = at - d
	} else {
		s.backupWhole = at - d
	}
	return s
}

func (s State) failedOver(ago time.Duration, inSuccession int) State {
	s.lastFailover, s.repeatedFailovers = at-ago, inSuccession
	return s
}

func (p Policy) prefer() Policy {
	p.Mode = PreferPrimary
	return p
}

func (p Policy) pin(r Role) Policy {
	p.Select = r
	return p
}

func TestDecide(t *testing.T) {
	// What waiting alone does to a leg that is fine until now: its video is lost.
	const loss = at + time.Second
	stay := func(r Role) Decision { return Decision{Active: r, Reason: ReasonStarted, Recheck: loss} }
	to := func(r Role, why Reason, u Urgency) Decision {
		return Decision{Active: r, Reason: why, Urgency: u, Recheck: loss}
	}
	recheck := func(d Decision, when time.Duration) Decision {
		d.Recheck = when
		return d
	}
	atStart := State{}
	backupFirst := func(ago, primaryFull time.Duration) State {
		return State{
			Active: Backup, Reason: ReasonStarted, Since: at - ago, FirstPicture: at - ago,
			backupWhole: at - ago, primaryWhole: at - ago + primaryFull,
		}
	}
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		want            Decision
	}{
		// Rule 1.
		{"both whole: stay", standard, on(Primary), whole(), whole(), stay(Primary)},
		{"active leg silent, standby live: fail over", standard, on(Primary), silent(whole(), time.Second), whole(),
			to(Backup, ReasonPrimaryInputLost, Urgent)},
		{"active leg silent, its tracks stopped a little apart: the same", standard, on(Primary), audioSilent(silent(whole(), 1020*ms), 800*ms), whole(),
			recheck(to(Backup, ReasonPrimaryInputLost, Urgent), at+200*ms)},
		{"active leg not silent for long enough: stay until it is", standard, on(Primary), silent(whole(), 700*ms), whole(),
			recheck(stay(Primary), at+300*ms)},
		{"active leg disconnected: fail over", standard, on(Primary), absent(), whole(), to(Backup, ReasonPrimaryDisconnected, Urgent)},
		{"active backup disconnected: fail over", standard, on(Backup), whole(), absent(), to(Primary, ReasonBackupDisconnected, Urgent)},
		{"active backup silent: fail over", standard, on(Backup), whole(), silent(whole(), 5*time.Second), to(Primary, ReasonBackupInputLost, Urgent)},
		{"video of the active leg lost, its audio goes on: fail over", standard, on(Primary), videoSilent(whole(), 2*time.Second), whole(),
			to(Backup, ReasonPrimaryDegraded, Urgent)},
		{"audio of the active leg silent for less than 2 s more: stay", standard, on(Primary), audioSilent(whole(), 2500*ms), whole(),
			recheck(stay(Primary), at+500*ms)},
		{"audio of the active leg lost: fail over", standard, on(Backup), whole(), audioSilent(whole(), 3*time.Second),
			to(Primary, ReasonBackupDegraded, Urgent)},
		{"active leg has video only, standby audio only: stay", standard, on(Primary), audioSilent(whole(), 3*time.Second), videoSilent(whole(), 2*time.Second),
			stay(Primary)},
		{"active leg has audio only, standby video only: fail over", standard, on(Primary), videoSilent(whole(), 2*time.Second), audioSilent(whole(), 3*time.Second),
			to(Backup, ReasonPrimaryDegraded, Urgent)},
		{"both have lost their audio: never to an equal rank", standard, on(Primary), audioSilent(whole(), 3*time.Second), audioSilent(whole(), 3*time.Second),
			stay(Primary)},
		{"active leg silent, standby without an entry point: stay", standard, on(Primary), absent(), withoutEntryPoint(whole()), stay(Primary)},
		{"active leg silent, standby before its first IDR: wait for it", standard, on(Primary), absent(), young(beforeIDR(whole()), 100*ms),
			recheck(stay(Primary), at+900*ms)},
		{"active leg reconnected but has no IDR yet, standby whole: fail over", standard, on(Primary), young(beforeIDR(whole()), 100*ms), whole(),
			recheck(to(Backup, ReasonPrimaryInputLost, Urgent), at+900*ms)},
		{"standby never announced audio: it is whole", standard, on(Primary), audioSilent(whole(), 3*time.Second), videoOnly(whole()),
			to(Backup, ReasonPrimaryDegraded, Urgent)},
		{"audio-only legs fail over too", standard, on(Primary), absent(), audioOnly(whole()),
			recheck(to(Backup, ReasonPrimaryDisconnected, Urgent), at+3*time.Second)},
		{"failover is not delayed by damping", standard.prefer(), on(Primary).failedOver(time.Second, 8), absent(), whole(),
			to(Backup, ReasonPrimaryDisconnected, Urgent)},

		// Rule 2.
		{"nothing live at the start: nothing", standard, atStart, absent(), absent(), Decision{Reason: ReasonNoLiveStream}},
		{"both whole at the start: the primary", standard, atStart, whole(), whole(), to(Primary, ReasonStarted, Urgent)},
		{"only the backup at the start: the backup", standard, atStart, absent(), whole(), to(Backup, ReasonStarted, Urgent)},
		{"primary without audio at the start: the backup", standard, atStart, audioSilent(whole(), 4*time.Second), whole(), to(Backup, ReasonStarted, Urgent)},
		{"primary without an entry point at the start: the backup", standard, atStart, withoutEntryPoint(whole()), whole(), to(Backup, ReasonStarted, Urgent)},
		{"backup pinned at the start, both whole: the backup", standard.pin(Backup), atStart, whole(), whole(), to(Backup, ReasonStarted, Urgent)},
		{"backup pinned at the start but absent: the primary", standard.pin(Backup), atStart, whole(), absent(), to(Primary, ReasonStarted, Urgent)},
		{"only audio yet, for 0.2 s, at the start: wait for its picture", standard, atStart, young(audioOnly(whole()), 200*ms), absent(),
			Decision{Reason: ReasonNoLiveStream, Recheck: at + 800*ms}},
		{"backup came first, primary 5 s later: switch to it", standard, backupFirst(6*time.Second, 5*time.Second), whole(), whole(),
			to(Primary, ReasonPrimaryStarted, Planned)},
		{"backup came first, primary 10 s later: switch to it, when it comes to it", standard, backupFirst(15*time.Second, 10*time.Second), whole(), whole(),
			to(Primary, ReasonPrimaryStarted, Planned)},
		{"backup came first, primary more than 10 s later: stay", standard, backupFirst(12*time.Second, 10001*ms), whole(), whole(), stay(Backup)},
		{"backup came first, primary in time but without audio: stay", standard, backupFirst(6*time.Second, 5*time.Second), audioSilent(whole(), 4*time.Second), whole(),
			stay(Backup)},
		{"both were there when the backup was chosen: stay", standard, backupFirst(6*time.Second, -time.Second), whole(), whole(), stay(Backup)},
		{"primary in time, but only its audio yet: wait for its picture", standard, backupFirst(6*time.Second, 5*time.Second),
			young(audioOnly(whole()), 300*ms), whole(), recheck(stay(Backup), at+700*ms)},

		// Rule 3.
		{"both lost: keep the last", standard, on(Backup), absent(), absent(), Decision{Active: Backup, Reason: ReasonStarted}},
		{"both silent: keep the last", standard, on(Backup), silent(whole(), time.Minute), silent(whole(), time.Minute), Decision{Active: Backup, Reason: ReasonStarted}},
		{"both lost, the other returns: play it", standard, on(Backup), whole(), absent(), to(Primary, ReasonBackupDisconnected, Urgent)},
		{"both lost, the last returns: play it", standard, on(Backup), absent(), whole(), stay(Backup)},

		// Rule 4.
		{"Sticky, on the backup, primary whole for long: stay", standard, on(Backup), whole(), whole(), stay(Backup)},
		{"PreferPrimary, primary whole for the recovery time: go back", standard.prefer(), on(Backup).wholeFor(Primary, 10*time.Second), whole(), whole(),
			to(Primary, ReasonPrimaryRecovered, Planned)},
		{"PreferPrimary, primary whole for less: look again when it has been", standard.prefer(), on(Backup).wholeFor(Primary, 9500*ms), whole(), whole(),
			recheck(stay(Backup), at+500*ms)},
		{"PreferPrimary, primary has just returned: video loss comes first", standard.prefer(), on(Backup).wholeFor(Primary, 0), whole(), whole(), stay(Backup)},
		{"PreferPrimary, primary lacks audio: stay", standard.prefer(), on(Backup), audioSilent(whole(), 4*time.Second), whole(), stay(Backup)},
		{"PreferPrimary, both lack audio: stay", standard.prefer(), State{Active: Backup, Reason: ReasonStarted, Switches: 1},
			audioSilent(whole(), 4*time.Second), audioSilent(whole(), 4*time.Second), stay(Backup)},
		{"PreferPrimary, primary without an entry point: stay", standard.prefer(), on(Backup), withoutEntryPoint(whole()), whole(), stay(Backup)},
		{"PreferPrimary, on the primary: stay", standard.prefer(), on(Primary), whole(), whole(), stay(Primary)},
		{"a changed pin acts at once", standard.pin(Backup), on(Primary).wholeFor(Backup, 0), whole(), whole(), to(Backup, ReasonSelected, Planned)},
		{"a changed pin acts at once, however often there were failovers", standard.pin(Backup), on(Primary).wholeFor(Backup, 0).failedOver(time.Second, 5), whole(), whole(),
			to(Backup, ReasonSelected, Planned)},
		{"a changed pin acts between legs that both lack audio", standard.pin(Backup), on(Primary), audioSilent(whole(), 4*time.Second), audioSilent(whole(), 4*time.Second),
			to(Backup, ReasonSelected, Planned)},
		{"a pin wins over PreferPrimary", standard.prefer().pin(Backup), on(Primary), whole(), whole(), to(Backup, ReasonSelected, Planned)},
		{"a pin on what is on: stay", standard.pin(Backup), on(Backup), whole(), whole(), stay(Backup)},
		{"a pin on an absent leg never takes the picture away", standard.pin(Backup), on(Primary), whole(), absent(), stay(Primary)},
		{"a pin on a leg of lower rank never takes the sound away", standard.pin(Backup), on(Primary), whole(), audioSilent(whole(), 4*time.Second), stay(Primary)},
		{"a pin does not hold a dead leg", standard.pin(Primary), on(Primary), absent(), whole(), to(Backup, ReasonPrimaryDisconnected, Urgent)},
		{"a pin that was carried out goes back after the recovery time", standard.pin(Primary), carriedOut(Primary, on(Backup)).wholeFor(Primary, 10*time.Second), whole(), whole(),
			to(Primary, ReasonSelected, Planned)},
		{"a pin that was carried out goes back no sooner", standard.pin(Primary), carriedOut(Primary, on(Backup)).wholeFor(Primary, 9900*ms), whole(), whole(),
			recheck(stay(Backup), at+100*ms)},

		// Rule 5.
		{"second failover within 10 minutes: 20 s", standard.prefer(), on(Backup).failedOver(25*time.Second, 1).wholeFor(Primary, 19900*ms), whole(), whole(),
			recheck(stay(Backup), at+100*ms)},
		{"second failover within 10 minutes, after 20 s: go back", standard.prefer(), on(Backup).failedOver(25*time.Second, 1).wholeFor(Primary, 20*time.Second), whole(), whole(),
			to(Primary, ReasonPrimaryRecovered, Planned)},
		{"many failovers: at most 10 minutes", standard.prefer(), on(Backup).failedOver(11*time.Minute, 60).wholeFor(Primary, 10*time.Minute), whole(), whole(),
			to(Primary, ReasonPrimaryRecovered, Planned)},
		{"last planned switch 59.9 s ago: not sooner than a minute after it", standard.prefer(), returned(59900*ms, on(Backup)), whole(), whole(),
			recheck(stay(Backup), at+100*ms)},
		{"last planned switch a minute ago: go back", standard.prefer(), returned(time.Minute, on(Backup)), whole(), whole(),
			to(Primary, ReasonPrimaryRecovered, Planned)},
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

func carriedOut(r Role, s State) State {
	s.lastPinned = r
	return s
}

func returned(ago time.Duration, s State) State {
	s.lastPlanned = at - ago
	return s
}

func TestRecoveryTimeDoublesUpToTenMinutes(t *testing.T) {
	d := Decision{Active: Backup, Urgency: Urgent}
	back := Decision{Active: Primary, Urgency: Planned}
	var got []time.Duration
	s, now := State{Active: Primary}, time.Minute
	for range 9 {
		s = s.Switched(d, now)
		got = append(got, s.recovery(standard))
		s = s.Switched(back, now+time.Second)
		now += 9 * time.Minute
	}
	want := []time.Duration{10, 20, 40, 80, 160, 320, 600, 600, 600}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failovers every 9 minutes (-want +got):\n%s", diff)
	}
	s = s.Switched(d, now+2*time.Minute)
	if got := s.recovery(standard); got != 10*time.Second {
		t.Errorf("failover more than 10 minutes after the last: recovery %v, want 10s", got)
	}
	short := standard
	short.Recovery = 0
	if got := s.Switched(d, now+3*time.Minute).recovery(short); got != 2*time.Second {
		t.Errorf("no recovery time, doubled: %v, want 2s", got)
	}
}

func TestStateCounts(t *testing.T) {
	var s State
	s = s.Switched(Decision{Primary, ReasonStarted, Urgent, 0}, 5*time.Second)
	want := State{Active: Primary, Reason: ReasonStarted, Since: 5 * time.Second, FirstPicture: 5 * time.Second}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("the first leg is no switch and no failover (-want +got):\n%s", diff)
	}
	s = s.Switched(Decision{Backup, ReasonPrimaryDisconnected, Urgent, 0}, 8*time.Second)
	want = State{
		Active: Backup, Reason: ReasonPrimaryDisconnected, Since: 8 * time.Second, FirstPicture: 5 * time.Second, Switches: 1,
		lastFailover: 8 * time.Second, doubt: FailedOver, doubtSince: 8 * time.Second,
	}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("a failover (-want +got):\n%s", diff)
	}
	s = s.Switched(Decision{Primary, ReasonSelected, Planned, 0}, 9*time.Second)
	want.Active, want.Reason, want.Since, want.Switches = Primary, ReasonSelected, 9*time.Second, 2
	want.lastPlanned = 9 * time.Second
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("a planned switch (-want +got):\n%s", diff)
	}
}

func TestObserveNotesSinceWhenLegsAreWhole(t *testing.T) {
	s := State{}.Observe(standard, Legs{whole(), absent()}, at)
	if s.primaryWhole != at || s.backupWhole != 0 {
		t.Fatalf("since %v and %v, want %v and 0", s.primaryWhole, s.backupWhole, at)
	}
	later := at + 500*ms
	if s = s.Observe(standard, Legs{whole(), whole()}, later); s.primaryWhole != at || s.backupWhole != later {
		t.Fatalf("since %v and %v, want %v and %v", s.primaryWhole, s.backupWhole, at, later)
	}
	if s = s.Observe(standard, Legs{videoSilent(whole(), time.Second), whole()}, at); s.primaryWhole != 0 {
		t.Fatalf("a leg without pictures is whole since %v", s.primaryWhole)
	}
}

func TestAPinIsObeyedOnceItsLegIsOn(t *testing.T) {
	legs := Legs{whole(), whole()}
	s := on(Primary).Observe(standard.pin(Backup), legs, at)
	if s.lastPinned == Backup {
		t.Error("carried out before the switch")
	}
	s = s.Switched(Decision{Backup, ReasonSelected, Planned, 0}, at).Observe(standard.pin(Backup), legs, at)
	if s.lastPinned != Backup {
		t.Error("not carried out after the switch")
	}
	if s = s.Observe(standard, legs, at); s.lastPinned != "" {
		t.Error("the same pin would not act at once after it was taken away")
	}
}

func TestTakingAPinAwayMovesNothingWhenSticky(t *testing.T) {
	// The backup was on air from the first picture because somebody wanted it, not because the
	// primary was late.
	legs := Legs{whole(), whole()}
	s := State{Active: Backup, FirstPicture: at - 8*time.Second, backupWhole: at - 8*time.Second, primaryWhole: at - 3*time.Second}
	s = s.Observe(standard.pin(Backup), legs, at).Observe(standard, legs, at)
	if d := Decide(standard, legs, s, at); d.Active != Backup {
		t.Errorf("went to %v: %v", d.Active, d.Reason)
	}
}

// Both encoders are set up alike, and so their media has the same faults. A pair must then decide
// like a pair without faults.
func TestAFaultThatBothLegsShareIsNoReasonToDecideOtherwise(t *testing.T) {
	for _, fault := range []string{"sound that nobody can play", "pictures that some cannot play"} {
		policy := standard.prefer()
		policy.Rules = Rules
		legs := Legs{faulty(whole(), fault), faulty(whole(), fault)}
		s := on(Backup).Observe(policy, legs, at)
		if s.bothWholeSince() == 0 {
			t.Errorf("%s: the legs are not whole", fault)
		}
		if d := Decide(policy, legs, s, at); d.Active != Primary || d.Reason != ReasonPrimaryRecovered {
			t.Errorf("%s: %+v, want the primary, which has recovered", fault, d)
		}
		if s = s.Observe(policy, Legs{legs.Primary, whole()}, at); s.primaryWhole != 0 || s.backupWhole == 0 {
			t.Errorf("%s: a leg with a fault is taken for whole beside one without", fault)
		}
	}
}
