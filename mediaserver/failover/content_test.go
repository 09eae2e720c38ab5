package failover

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func showing(l Leg, c Content) Leg {
	l.Content = c
	return l
}

func (p Policy) heeding() Policy {
	p.ContentFailover, p.Rules = true, rulesContent
	return p
}

func (p Policy) manual() Policy {
	p.Mode = Manual
	return p
}

func (s State) plannedAgo(d time.Duration) State {
	s.lastPlanned = at - d
	return s
}

func TestDecideByContent(t *testing.T) {
	const loss, pauses = at + time.Second, at + time.Second/2 // what waiting alone does: see Leg.pausesAt
	stay := Decision{Active: Primary, Reason: ReasonStarted, Recheck: loss}
	toBackup := func(why Reason, u Urgency) Decision {
		return Decision{Active: Backup, Reason: why, Urgency: u, Recheck: loss}
	}
	black, frozen, silence := Content{Black: true}, Content{Frozen: true}, Content{Silent: true}
	low := Content{LowBitrate: true}
	older := standard.heeding()
	older.Rules = rulesContent - 1
	tests := []struct {
		name            string
		policy          Policy
		state           State
		primary, backup Leg
		want            Decision
	}{
		{"black: a planned switch", standard.heeding(), on(Primary), showing(whole(), black), whole(), toBackup(ReasonPrimaryBlack, Planned)},
		{"frozen: a planned switch", standard.heeding(), on(Primary), showing(whole(), frozen), whole(), toBackup(ReasonPrimaryFrozen, Planned)},
		{"silent: a planned switch", standard.heeding(), on(Primary), showing(whole(), silence), whole(), toBackup(ReasonPrimarySilent, Planned)},
		{"a low bit rate: a planned switch", standard.heeding(), on(Primary), showing(whole(), low), whole(), toBackup(ReasonPrimaryLowRate, Planned)},
		{"a low picture rate: a planned switch", standard.heeding(), on(Primary), showing(whole(), Content{LowFrameRate: true}), whole(), toBackup(ReasonPrimaryLowRate, Planned)},
		{"the owner only observes: stay", standard, on(Primary), showing(whole(), black), whole(), stay},
		{"the other server does not know the rule: stay", older, on(Primary), showing(whole(), black), whole(), stay},
		{"the leg is pinned: stay", standard.heeding().pin(Primary), on(Primary), showing(whole(), black), whole(), stay},
		{"a pin of a black leg is obeyed", standard.heeding().pin(Backup), on(Primary), whole(), showing(whole(), black), toBackup(ReasonSelected, Planned)},
		{"Manual: stay", standard.heeding().manual(), on(Primary), showing(whole(), black), whole(), stay},
		{"both are black: stay", standard.heeding(), on(Primary), showing(whole(), black), showing(whole(), black), stay},
		{"the other leg is black: stay", standard.heeding(), on(Primary), whole(), showing(whole(), black), stay},
		{"silent beside black: stay", standard.heeding(), on(Primary), showing(whole(), silence), showing(whole(), black), stay},
		{"black beside silent: switch", standard.heeding(), on(Primary), showing(whole(), black), showing(whole(), silence), toBackup(ReasonPrimaryBlack, Planned)},
		{"black beside a leg without its sound: switch", standard.heeding(), on(Primary), showing(whole(), black), audioSilent(whole(), 4*time.Second), toBackup(ReasonPrimaryBlack, Planned)},
		{"black beside a leg with sound alone: stay", standard.heeding(), on(Primary), showing(whole(), black), videoSilent(whole(), 4*time.Second), stay},
		{"without its sound beside a black leg: stay", standard.heeding(), on(Primary), audioSilent(whole(), 4*time.Second), showing(whole(), black), stay},
		{"without its picture beside a black leg: an urgent switch", standard.heeding(), on(Primary), videoSilent(whole(), 4*time.Second), showing(whole(), black),
			Decision{Active: Backup, Reason: ReasonPrimaryDegraded, Urgency: Urgent, Recheck: pauses}},
		{"without its sound beside a silent leg: an urgent switch", standard.heeding(), on(Primary), audioSilent(whole(), 4*time.Second), showing(whole(), silence),
			Decision{Active: Backup, Reason: ReasonPrimaryDegraded, Urgency: Urgent, Recheck: pauses}},
		{"away beside a black leg: an urgent switch", standard.heeding(), on(Primary), absent(), showing(whole(), black), toBackup(ReasonPrimaryDisconnected, Urgent)},
		{"20 s after a planned switch: wait until a minute is over", standard.heeding(), on(Primary).plannedAgo(20 * time.Second), showing(whole(), black), whole(),
			stay},
		{"a minute after a planned switch: switch", standard.heeding(), on(Primary).plannedAgo(time.Minute), showing(whole(), black), whole(), toBackup(ReasonPrimaryBlack, Planned)},
		{"the other leg's server is about to end: stay", standard.heeding(), on(Primary), showing(whole(), black), leaving(whole()), stay},
		{"its own server is about to end, 20 s after a planned switch: do not wait", standard.heeding(), on(Primary).plannedAgo(20 * time.Second),
			leaving(showing(whole(), black)), whole(), toBackup(ReasonPrimaryBlack, Planned)},
		{"a black leg is not returned to", standard.heeding().prefer(), on(Backup), showing(whole(), black), whole(),
			Decision{Active: Backup, Reason: ReasonStarted, Recheck: loss}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			legs := Legs{tt.primary, tt.backup}
			got := Decide(tt.policy, legs, tt.state.Observe(tt.policy, legs, at), at)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManualSwitchesOnlyForLostInput(t *testing.T) {
	const loss = at + time.Second
	lost := Decide(standard.manual(), Legs{absent(), whole()}, on(Primary), at)
	if diff := cmp.Diff(Decision{Active: Backup, Reason: ReasonPrimaryDisconnected, Urgency: Urgent, Recheck: loss}, lost); diff != "" {
		t.Errorf("the primary is lost (-want +got):\n%s", diff)
	}
	bursty := whole()
	bursty.Burst = 3 * time.Second
	late := on(Backup)
	late.Switches, late.primaryWhole, late.FirstPicture = 0, at-5*time.Second, at-6*time.Second
	pinned := on(Backup)
	pinned.lastPinned = Primary
	policy := standard.manual()
	policy.MaxJitter, policy.Rules = 5*time.Second, Rules
	for name, tt := range map[string]struct {
		policy Policy
		state  State
		legs   Legs
		want   Role
	}{
		"input in bursts":                        {policy, on(Primary), Legs{bursty, whole()}, Primary},
		"a late primary":                         {policy, late, Legs{whole(), whole()}, Backup},
		"a new pin":                              {policy.pin(Primary), on(Backup), Legs{whole(), whole()}, Primary},
		"a pinned leg that was lost and is back": {policy.pin(Primary), pinned, Legs{whole(), whole()}, Backup},
	} {
		if got := Decide(tt.policy, tt.legs, tt.state, at); got.Active != tt.want {
			t.Errorf("%s: the %s is chosen for %s", name, got.Active, got.Reason)
		}
	}
}

// A pair leaves a black leg by a planned switch, so that no picture is lost, and returns as its mode
// says.
func TestAPairLeavesABlackLeg(t *testing.T) {
	for _, tt := range []struct {
		mode Mode
		then Role // on air a minute after the leg is well again
		why  Reason
	}{{Sticky, Backup, ReasonPrimaryBlack}, {PreferPrimary, Primary, ReasonPrimaryRecovered}} {
		t.Run(string(tt.mode), func(t *testing.T) {
			inStudio(t, with(func(p *Policy) { p.Mode, p.ContentFailover = tt.mode, true }), func(t *testing.T, s *testPair) {
				s.bothOn()
				began := len(s.output.sent)
				s.pair.SetContent(Content{Black: true}, Content{})
				s.run(2100 * ms)
				s.wantOn(Backup, ReasonPrimaryBlack, 1)
				if rank := s.pair.Status().Legs[0].Rank; rank != RankBlackOrFrozen {
					t.Errorf("the primary has rank %s", rank)
				}
				for i := began; i < len(s.output.sent); i++ {
					if gap := s.output.sent[i].at - s.output.sent[i-1].at; gap > 60*ms {
						t.Errorf("no picture for %v", gap)
					}
				}
				s.pair.SetContent(Content{}, Content{})
				s.run(30 * time.Second)
				s.wantOn(Backup, ReasonPrimaryBlack, 1)
				s.run(35 * time.Second)
				if got := s.pair.Status(); got.Active != tt.then || got.Reason != tt.why {
					t.Errorf("on air is %s for %s, want %s for %s", got.Active, got.Reason, tt.then, tt.why)
				}
			})
		})
	}
}

// A leg whose content is faulty again and again is returned to more and more seldom.
func TestFaultsOfTheContentDampTheReturn(t *testing.T) {
	s := on(Primary)
	for n, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		now := at + time.Duration(n)*2*time.Minute
		s = s.Switched(Decision{Active: Backup, Reason: ReasonPrimarySilent, Urgency: Planned}, now)
		if got := s.recovery(standard.heeding().prefer()); got != want {
			t.Errorf("after %d faults the recovery takes %v, want %v", n+1, got, want)
		}
		s = s.Switched(Decision{Active: Primary, Reason: ReasonPrimaryRecovered, Urgency: Planned}, now+time.Minute)
	}
}
