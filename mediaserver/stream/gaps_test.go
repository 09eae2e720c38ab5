package stream

import (
	"testing"
	"time"
)

// timedUnit is an access unit with times in milliseconds.
type timedUnit struct{ ts, arrival int }

// steadily returns 25 access units a second that arrive when they are made.
func steadily(from, until int) (units []timedUnit) {
	for ts := from; ts < until; ts += 40 {
		units = append(units, timedUnit{ts, ts})
	}
	return units
}

// inBursts returns the same access units, but collected for length before they arrive.
func inBursts(from, until, length int) (units []timedUnit) {
	for ts := from; ts < until; ts += 40 {
		units = append(units, timedUnit{ts, from + (ts-from)/length*length + length})
	}
	return units
}

func moved(units []timedUnit, ts, arrival int) []timedUnit {
	out := make([]timedUnit, len(units))
	for i, u := range units {
		out[i] = timedUnit{u.ts + ts, u.arrival + arrival}
	}
	return out
}

func joined(all ...[]timedUnit) (units []timedUnit) {
	for _, some := range all {
		units = append(units, some...)
	}
	return units
}

func TestGaps(t *testing.T) {
	const tolerance = 100 * ms
	tests := []struct {
		name           string
		units          []timedUnit
		repeated, last time.Duration
	}{
		{"steady input has none", steadily(0, 20000), 0, 0},
		{"4 s at a time: they repeat", joined(steadily(0, 4000), inBursts(4000, 24000, 4000)), 4 * time.Second, 4 * time.Second},
		{"800 ms at a time", joined(steadily(0, 4000), inBursts(4000, 24000, 800)), 800 * ms, 800 * ms},
		{"600 ms at a time: players even it out", joined(steadily(0, 4000), inBursts(4000, 24000, 600)), 0, 0},
		{"one hiccup, after which the media catch up", joined(steadily(0, 4000), inBursts(4000, 8000, 4000), steadily(8000, 12000)), 0, 4 * time.Second},
		{"the second counts as soon as it is over", joined(steadily(0, 4000), inBursts(4000, 8000, 4000), steadily(8000, 9000), []timedUnit{{9000, 12000}}), 4 * time.Second, 3 * time.Second},
		{"two short hiccups: a busy machine", joined(steadily(0, 4000), inBursts(4000, 5000, 1000), steadily(5000, 20000), inBursts(20000, 21500, 1500), steadily(21500, 24000)), 0, 1500 * ms},
		{"two long ones, however far apart", joined(steadily(0, 4000), inBursts(4000, 7000, 3000), steadily(7000, 40000), inBursts(40000, 43000, 3000), steadily(43000, 45000)), 3 * time.Second, 3 * time.Second},
		{"two hiccups more than a minute apart", joined(steadily(0, 4000), inBursts(4000, 8000, 4000), steadily(8000, 70000), inBursts(70000, 73000, 3000), steadily(73000, 74000)), 0, 3 * time.Second},
		{"they are over for more than a minute", joined(steadily(0, 4000), inBursts(4000, 24000, 4000), steadily(24000, 90000)), 0, 4 * time.Second},
		{"an encoder that was paused, and its media stay late", joined(steadily(0, 4000), moved(steadily(4000, 12000), 0, 3000), moved(steadily(12000, 24000), 0, 6000)), 0, 0},
		{"an encoder that leaves out what it could not send", joined(steadily(0, 4000), steadily(7000, 9000), steadily(12000, 14000), steadily(17000, 20000)), 0, 0},
		{"one picture a second", []timedUnit{{0, 0}, {1000, 1000}, {2000, 2000}, {3000, 3000}, {4000, 4000}}, 0, 0},
		{"a looped file", joined(steadily(0, 4000), moved(steadily(0, 4000), 0, 4000), moved(steadily(0, 4000), 0, 8000), moved(steadily(0, 4000), 0, 12000)), 0, 0},
		{"a clock that jumps forward", joined(steadily(0, 4000), moved(steadily(0, 4000), 900000, 4000), moved(steadily(0, 4000), 1900000, 8000)), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g Gaps
			now := time.Duration(0)
			for _, u := range tt.units {
				now = time.Duration(u.arrival) * ms
				g.Observe(time.Duration(u.ts)*ms, now)
			}
			if got := g.Repeated(now); (got - tt.repeated).Abs() > tolerance {
				t.Errorf("repeated: %v, want %v", got, tt.repeated)
			}
			if _, got := g.Last(); (got - tt.last).Abs() > tolerance {
				t.Errorf("the last: %v, want %v", got, tt.last)
			}
			if len(g.found) > maxGaps {
				t.Errorf("%d are remembered", len(g.found))
			}
		})
	}
}

func TestAGapOfTheServersOwnIsSkipped(t *testing.T) {
	var g Gaps
	now := time.Duration(0)
	for i, u := range joined(steadily(0, 4000), inBursts(4000, 16000, 4000), steadily(16000, 20000)) {
		before := now
		now = time.Duration(u.arrival) * ms
		g.Observe(time.Duration(u.ts)*ms, now)
		if i > 0 && now-before > time.Second {
			g.Skip(now + 200*ms)
		}
	}
	if _, last := g.Last(); last != 0 || g.Repeated(now) != 0 {
		t.Errorf("the last is %v", last)
	}
}

// If gaps are not tolerated, each gap counts as a loss. The media after a gap is as late as after a
// loss.
func TestTheClockOfAStreamThatToleratesNoGapsIsAnchoredAnewByEach(t *testing.T) {
	for _, tt := range []struct {
		name     string
		tolerate bool
		anchors  func(int) bool
	}{
		{"tolerated", true, func(n int) bool { return n == 1 }},
		{"not tolerated", false, func(n int) bool { return n >= 10 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewRegistry(Config{}).Stream(Key{"live", "primary"})
			s.TolerateGaps(tt.tolerate)
			p, err := s.Publish(PublishRequest{Key: s.Key()})
			must(t, err)
			defer p.End(EndClosed)
			late := time.Duration(0)
			for _, u := range joined(steadily(0, 4000), inBursts(4000, 64000, 4000)) {
				arrival := time.Duration(u.arrival) * ms
				media := time.Duration(u.ts)*ms + p.clock.media(time.Duration(u.ts)*ms, arrival)
				late = max(late, arrival-media)
			}
			if !tt.anchors(p.clock.anchors) {
				t.Errorf("anchored anew %d times", p.clock.anchors)
			}
			if !tt.tolerate && late > MaxDeparture {
				t.Errorf("access units are up to %v late, want %v at most", late, MaxDeparture)
			}
			s.TolerateGaps(!tt.tolerate) // set while it publishes
			if most := p.clock.maxLag(64 * time.Second); (most > MaxDeparture) == tt.tolerate {
				t.Errorf("changed meanwhile: %v late is put up with", most)
			}
		})
	}
}

// The mapping of input in bursts does not change: its pictures keep their distances.
func TestTheClockOfInputInBurstsIsNotAnchoredAnew(t *testing.T) {
	var c clock
	anchors := 0
	var last time.Duration
	for i, u := range joined(steadily(0, 4000), inBursts(4000, 64000, 4000)) {
		media := time.Duration(u.ts)*ms + c.media(time.Duration(u.ts)*ms, time.Duration(u.arrival)*ms)
		if u.ts < 12000 {
			anchors, last = c.anchors, media // the first gap could be a jump
			continue
		}
		if step := media - last; step < 39*ms || step > 41*ms {
			t.Fatalf("access unit %d at %d ms is %v after the one before", i, u.ts, step)
		}
		last = media
	}
	if c.anchors != anchors || anchors != 1 {
		t.Errorf("anchored anew %d times, %d of them in the first burst; want 1", c.anchors, anchors)
	}
}
