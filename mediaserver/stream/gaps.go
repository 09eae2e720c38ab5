package stream

import (
	"slices"
	"time"
)

const (
	// minGap is the shortest pause that counts as a gap. Players even out shorter pauses, and a
	// busy machine causes them.
	minGap = 750 * time.Millisecond
	// longGap is the length from which two gaps are enough for bursts, however far apart they are.
	longGap = 2 * time.Second
	// gapWindow is how long a gap is remembered.
	gapWindow = time.Minute
	// maxGaps bounds the number of gaps that are remembered.
	maxGaps = int(gapWindow / minGap)
)

// Gaps detects input in bursts, as of a relay or a bonded link that collects media for some seconds.
// In a gap nothing arrives for a while; then the media comes late and catches up. A pause that the
// timestamps show too is no gap. Nor is a pause after which the media stays late.
//
// The zero value is ready for use. A Gaps is for both tracks of one publication.
type Gaps struct {
	began          bool
	skip           time.Duration // access units that arrive until then are ignored
	front, arrival time.Duration // newest timestamp, and arrival of the last access unit
	pending        gap           // a gap whose media has yet to catch up; zero: none
	// pendingFront and pendingArrival are what front and arrival were before the pending gap.
	pendingFront, pendingArrival time.Duration
	found                        []gap // the gaps of the last gapWindow
}

// A gap is one pause.
type gap struct {
	end    time.Duration // on the media clock
	length time.Duration // how much later than before the gap its media came
}

// Observe notes an access unit: its timestamp on the publisher's clock, and its arrival on the
// media clock.
func (g *Gaps) Observe(ts, arrival time.Duration) {
	pause, advance := arrival-g.arrival, ts-g.front
	jumped := advance < -MaxDeparture || advance > max(pause, 0)+g.pending.length+MaxDeparture
	if !g.began || jumped || arrival <= g.skip {
		g.began, g.front, g.arrival, g.pending = true, ts, arrival, gap{}
		return
	}
	switch late := pause - max(advance, 0); {
	case g.pending.length == 0 && late >= minGap:
		g.pending = gap{end: arrival, length: late}
		g.pendingFront, g.pendingArrival = g.front, g.arrival
	case g.pending.length == 0:
	case (arrival-g.pendingArrival)-(ts-g.pendingFront) <= g.pending.length/4:
		g.remember(g.pending)
		g.pending = gap{}
	case arrival-g.pending.end > g.pending.length:
		g.pending = gap{} // the media stay late
	}
	g.front, g.arrival = max(g.front, ts), arrival
}

// Skip makes Observe ignore access units that arrive until then: this server itself was held up.
func (g *Gaps) Skip(until time.Duration) { g.skip, g.pending = until, gap{} }

func (g *Gaps) remember(one gap) {
	g.found = slices.DeleteFunc(g.found, func(old gap) bool { return one.end-old.end > gapWindow })
	if len(g.found) == maxGaps {
		g.found = slices.Delete(g.found, 0, 1)
	}
	g.found = append(g.found, one)
}

// Repeated returns the longest gap of the minute before now if the input comes in bursts; else 0.
// The input comes in bursts if there were several gaps: two of at least longGap, or so many that
// they make up a quarter of the time. A busy machine has short gaps now and then. The newest gap
// counts as soon as it is over, unless it is the only one.
func (g *Gaps) Repeated(now time.Duration) time.Duration {
	n, long := 0, 0
	var began, ended, longest, total time.Duration
	count := func(one gap) {
		if now-one.end > gapWindow {
			return
		}
		if n++; n == 1 {
			began = one.end - one.length
		}
		if one.length >= longGap {
			long++
		}
		ended, longest, total = one.end, max(longest, one.length), total+one.length
	}
	for _, one := range g.found {
		count(one)
	}
	if n > 0 && g.pending.length > 0 {
		count(g.pending)
	}
	if n < 2 || long < 2 && total < (ended-began)/4 {
		return 0
	}
	return longest
}

// Unread returns the pause before an access unit that has arrived at arrival but was not observed
// yet. It returns 0 if the pause is too short for a gap.
func (g *Gaps) Unread(arrival time.Duration) time.Duration {
	if pause := arrival - g.arrival; g.began && arrival > g.skip && pause >= minGap {
		return pause
	}
	return 0
}

// Last returns when the last gap ended and how long it was; 0, 0: there was none.
func (g *Gaps) Last() (end, length time.Duration) {
	last := g.pending
	if last.length == 0 && len(g.found) > 0 {
		last = g.found[len(g.found)-1]
	}
	return last.end, last.length
}
