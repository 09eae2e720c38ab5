package failover

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/stream"
)

// change is one switch of a scenario.
type change struct {
	At time.Duration
	To Role
	Of Urgency
}

// play lets Decide run a pair like Pair, without media. An urgent switch is made at once. A planned
// switch is made at the next IDR: each leg has one every 2 s.
func play(p Policy, legs func(now time.Duration) Legs, until time.Duration) (State, []change) {
	const step = 20 * ms
	var s State
	var changes []change
	for now := time.Minute; now < time.Minute+until; now += step {
		l := legs(now)
		s = s.Observe(p, l, now)
		d := Decide(p, l, s, now)
		if d.Urgency == "" || d.Urgency == Planned && now%(2*time.Second) != 0 {
			continue
		}
		s = s.Switched(d, now)
		changes = append(changes, change{now - time.Minute, d.Active, d.Urgency})
	}
	return s, changes
}

// arriving returns a leg that has been whole since a time.
func arriving(since, now time.Duration) Leg {
	l := whole()
	l.Since, l.Video.LastArrival, l.Audio.LastArrival = since, now, now
	return l
}

// drawFault draws what is wrong with both legs of a pair; mostly nothing.
func drawFault(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "sound that nobody can play", "pictures that some cannot play"}).Draw(t, "fault")
}

// faulty returns the leg with this fault.
func faulty(l Leg, fault string) Leg {
	switch fault {
	case "sound that nobody can play":
		return unplayable(l, stream.Audio)
	case "pictures that some cannot play":
		return limited(l)
	}
	return l
}

// blips returns legs whose primary is away for a second, n times, once every so often.
func blips(n int, every time.Duration) func(time.Duration) Legs {
	return func(now time.Duration) Legs {
		legs := Legs{arriving(time.Minute, now), arriving(time.Minute, now)}
		since := now - time.Minute - 20*time.Second
		if since < 0 {
			return legs
		}
		if i := int(since / every); i < n && since%every < time.Second {
			legs.Primary = Leg{}
		} else {
			legs.Primary.Since = time.Minute + 20*time.Second + time.Duration(min(i, n-1))*every + time.Second
		}
		return legs
	}
}

func TestTenBlipsOfASecond(t *testing.T) {
	start := change{0, Primary, Urgent}
	failover := change{20 * time.Second, Backup, Urgent}
	t.Run("Sticky makes one switch", func(t *testing.T) {
		for _, every := range []time.Duration{2 * time.Second, 5 * time.Second, 30 * time.Second} {
			_, got := play(standard, blips(10, every), 10*time.Minute)
			if diff := cmp.Diff([]change{start, failover}, got); diff != "" {
				t.Errorf("every %v (-want +got):\n%s", every, diff)
			}
		}
	})
	t.Run("PreferPrimary, in a row: one failover and, after the last, one failback", func(t *testing.T) {
		for _, every := range []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second} {
			_, got := play(standard.prefer(), blips(10, every), 10*time.Minute)
			last := 20*time.Second + 9*every + time.Second
			want := []change{start, failover, {(last + 11*time.Second).Truncate(2 * time.Second), Primary, Planned}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("every %v (-want +got):\n%s", every, diff)
			}
		}
	})
	t.Run("PreferPrimary, however far apart: at most one failback a minute", rapid.MakeCheck(func(t *rapid.T) {
		p := standard.prefer()
		p.Recovery = time.Duration(rapid.IntRange(0, 30).Draw(t, "recoverySeconds")) * time.Second
		every := time.Duration(rapid.IntRange(15, 600).Draw(t, "every 100 ms")) * 100 * ms
		_, got := play(p, blips(10, every), 10*every+2*time.Minute)
		var last time.Duration
		for _, c := range got {
			if c.Of != Planned {
				continue
			}
			if last != 0 && c.At-last < time.Minute {
				t.Fatalf("failbacks at %v and %v", last, c.At)
			}
			last = c.At
		}
	}))
}

func TestScenarios(t *testing.T) {
	// there reports whether a leg is whole at a time since the beginning.
	type there func(time.Duration) bool
	always := func(time.Duration) bool { return true }
	from := func(d time.Duration) there { return func(t time.Duration) bool { return t >= d } }
	except := func(a, b time.Duration) there { return func(t time.Duration) bool { return t < a || t >= b } }
	const s = time.Second
	tests := []struct {
		name            string
		policy          Policy
		primary, backup there
		want            []change
	}{
		{"primary stopped and back: the backup stays on", standard, except(10*s, 20*s), always,
			[]change{{0, Primary, Urgent}, {10 * s, Backup, Urgent}}},
		{"primary stopped and back, then the backup stopped: the primary is on", standard, except(10*s, 20*s), except(30*s, 90*s),
			[]change{{0, Primary, Urgent}, {10 * s, Backup, Urgent}, {30 * s, Primary, Urgent}}},
		{"both down for 60 s, the backup returns first: it is on", standard, except(10*s, 80*s), except(10*s, 70*s),
			[]change{{0, Primary, Urgent}, {70 * s, Backup, Urgent}}},
		{"backup first, primary 3 s later: planned, at an IDR", standard, from(3 * s), always,
			[]change{{0, Backup, Urgent}, {4 * s, Primary, Planned}}},
		{"backup first, primary 30 s later: never", standard, from(30 * s), always,
			[]change{{0, Backup, Urgent}}},
		{"backup first, primary 30 s later, preferred: after the recovery time", standard.prefer(), from(30 * s), always,
			[]change{{0, Backup, Urgent}, {40 * s, Primary, Planned}}},
		{"preferred primary fails over and back", standard.prefer(), except(10*s, 20*s), always,
			[]change{{0, Primary, Urgent}, {10 * s, Backup, Urgent}, {30 * s, Primary, Planned}}},
		{"preferred primary fails twice: the second time it waits 20 s, and a minute", standard.prefer(),
			func(t time.Duration) bool { return except(10*s, 20*s)(t) && except(40*s, 41*s)(t) }, always,
			[]change{{0, Primary, Urgent}, {10 * s, Backup, Urgent}, {30 * s, Primary, Planned}, {40 * s, Backup, Urgent}, {90 * s, Primary, Planned}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leg := func(there there, now time.Duration) Leg {
				if !there(now - time.Minute) {
					return Leg{}
				}
				return arriving(time.Minute, now)
			}
			_, got := play(tt.policy, func(now time.Duration) Legs { return Legs{leg(tt.primary, now), leg(tt.backup, now)} }, 2*time.Minute)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Generators of anything that can happen at the time at.

func drawTrack(t *rapid.T, name string) Track {
	return Track{
		Announced:   rapid.IntRange(0, 9).Draw(t, name+" announced") > 0,
		LastArrival: at - time.Duration(rapid.SampledFrom([]int{0, 1, 30, 500, 999, 1000, 1001, 2999, 3000, 5000}).Draw(t, name+" silent for ms"))*ms,
		Interval:    rapid.SampledFrom([]time.Duration{0, 20 * ms, 40 * ms, 400 * ms, time.Second}).Draw(t, name+" interval"),
	}
}

func drawLeg(t *rapid.T, name string) Leg {
	l := Leg{
		Publishing: rapid.IntRange(0, 5).Draw(t, name+" publishing") > 0,
		Since:      at - rapid.SampledFrom([]time.Duration{0, 300 * ms, time.Second, time.Minute}).Draw(t, name+" since"),
		Video:      drawTrack(t, name+" video"),
		Audio:      drawTrack(t, name+" audio"),
		Decodable:  rapid.IntRange(0, 5).Draw(t, name+" decodable") > 0,
	}
	l.Burst = rapid.SampledFrom([]time.Duration{0, 0, 700 * ms, 4 * time.Second, time.Minute}).Draw(t, name+" burst")
	l.GapLength = max(l.Burst, rapid.SampledFrom([]time.Duration{0, 0, 600 * ms, 4 * time.Second, time.Minute}).Draw(t, name+" last gap"))
	l.GapEnd = at - rapid.SampledFrom([]time.Duration{0, 500 * ms, 3 * time.Second, 30 * time.Second}).Draw(t, name+" since its end")
	l.EntryPoint = l.Decodable && rapid.IntRange(0, 5).Draw(t, name+" entry point") > 0
	if !l.Publishing {
		return Leg{}
	}
	return l
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		Mode:      rapid.SampledFrom([]Mode{Sticky, PreferPrimary}).Draw(t, "mode"),
		Select:    rapid.SampledFrom([]Role{"", "", Primary, Backup}).Draw(t, "pin"),
		InputLoss: rapid.SampledFrom([]time.Duration{100 * ms, time.Second, 10 * time.Second}).Draw(t, "input loss"),
		Recovery:  time.Duration(rapid.IntRange(0, 60).Draw(t, "recovery")) * time.Second,
		MaxJitter: rapid.SampledFrom([]time.Duration{0, 5 * time.Second, 10 * time.Second}).Draw(t, "most jitter"),
		Rules:     rapid.IntRange(0, Rules).Draw(t, "rules"),
	}
}

func drawState(t *rapid.T) State {
	ago := func(name string) time.Duration {
		d := rapid.SampledFrom([]time.Duration{0, 2 * time.Second, 9 * time.Second, 11 * time.Second, time.Minute, 20 * time.Minute, at}).Draw(t, name+" ago")
		return at - d
	}
	s := State{Active: rapid.SampledFrom([]Role{"", Primary, Backup}).Draw(t, "active")}
	if s.Active == "" {
		return s
	}
	s.Reason, s.FirstPicture, s.Since = ReasonStarted, ago("first picture"), ago("since")
	s.Switches = rapid.IntRange(0, 2).Draw(t, "switches")
	s.primaryWhole, s.backupWhole = ago("primary whole"), ago("backup whole")
	s.lastFailover, s.lastPlanned = ago("last failover"), ago("last planned")
	s.repeatedFailovers = rapid.IntRange(0, 12).Draw(t, "repeated failovers")
	s.lastPinned = rapid.SampledFrom([]Role{"", Primary, Backup}).Draw(t, "last pinned")
	s.backupWanted = rapid.Bool().Draw(t, "backup wanted")
	return s
}

func TestDecideNeverMakesItWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, legs := drawPolicy(t), Legs{drawLeg(t, "primary"), drawLeg(t, "backup")}.withMissingVideo()
		s := drawState(t).Observe(p, legs, at)
		d := Decide(p, legs, s, at)
		if (d.Urgency == "") != (d.Active == s.Active) {
			t.Fatalf("from %q: %+v", s.Active, d)
		}
		if d.Recheck != 0 && d.Recheck <= at {
			t.Fatalf("recheck in the past: %+v", d)
		}
		if d.Urgency == "" {
			return
		}
		chosen, other := legs.Leg(d.Active), legs.Leg(d.Active.Other())
		if !chosen.canEnter(p, at) {
			t.Fatalf("chose a leg that can't be entered: %+v", d)
		}
		rank, otherRank := chosen.Rank(p, at), other.Rank(p, at)
		switch {
		case rank < otherRank && (s.Active != "" || other.canEnter(p, at)):
			t.Fatalf("chose rank %v while the other leg has %v: %+v", rank, otherRank, d)
		case s.Active != "" && d.Urgency == Urgent && rank == otherRank:
			t.Fatalf("failed over to an equal rank: %+v", d)
		case s.Active != "" && d.Urgency == Planned && rank != otherRank:
			t.Fatalf("a preference changed the rank from %v to %v: %+v", otherRank, rank, d)
		}
	})
}

func TestNothingChangesBeforeRecheckByWaitingAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, legs := drawPolicy(t), Legs{drawLeg(t, "primary"), drawLeg(t, "backup")}.withMissingVideo()
		s := drawState(t).Observe(p, legs, at)
		d := Decide(p, legs, s, at)
		for range 100 {
			end := d.Recheck
			if end == 0 {
				end = at + 24*time.Hour
			}
			now := at + 1 + time.Duration(rapid.Int64Range(0, int64(end-at-2)).Draw(t, "waited"))
			if end == d.Recheck && rapid.Bool().Draw(t, "to the last moment") {
				now = end - 1
			}
			if now <= at {
				return
			}
			later := Decide(p, legs, s.Observe(p, legs, now), now)
			if later.Active != d.Active || later.Urgency != d.Urgency {
				t.Fatalf("decided %+v, but after %v %+v", d, now-at, later)
			}
			if d.Recheck != 0 && later.Recheck != d.Recheck {
				t.Fatalf("recheck moved from %v to %v after %v", d.Recheck, later.Recheck, now-at)
			}
		}
	})
}

func TestDecideSettles(t *testing.T) {
	// Whatever two legs are like: as long as they do not change, there are at most two switches
	// (one by rank, one by preference) and then none.
	rapid.Check(t, func(t *rapid.T) {
		p, first := drawPolicy(t), Legs{drawLeg(t, "primary"), drawLeg(t, "backup")}
		s := drawState(t)
		constant := func(l Leg, now time.Duration) Leg {
			for _, track := range []*Track{&l.Video, &l.Audio} {
				track.LastArrival += now - at
			}
			return l
		}
		switches := 0
		for now, end := at, at+2*time.Hour; now < end; {
			legs := Legs{constant(first.Primary, now), constant(first.Backup, now)}
			s = s.Observe(p, legs, now)
			d := Decide(p, legs, s, now)
			if d.Urgency != "" {
				s = s.Switched(d, now)
				switches++
				continue
			}
			now += 5 * time.Second
		}
		if switches > 2 {
			t.Fatalf("%d switches", switches)
		}
	})
}
