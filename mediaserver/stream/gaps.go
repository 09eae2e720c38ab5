package stream

import (
	"slices"
	"time"
)

const (
	// minGap is the shortest pause that counts. Players even out shorter ones, and a busy
	// machine makes them.
	minGap = 750 * time.Millisecond
	// longGap is the shortest of which two are enough, however far apart.
	longGap = 2 * time.Second
	// gapWindow is how long a gap is remembered.
	gapWindow = time.Minute
	// maxGaps bounds how many are remembered.
	maxGaps = int(gapWindow / minGap)
)

// Gaps finds input in bursts: pauses of a publication's arrivals after which its media come
// late and catch up, as those of a relay or of a bonded link that collects some seconds. A
// pause that the timestamps make too is none, nor is one after which the media stay late.
//
// The zero value is ready. It is for the access units of one publication, of both tracks.
type Gaps struct {
	began          bool
	skip           time.Duration // what arrives until then is left out
	front, arrival time.Duration // newest timestamp, and when the last access unit came
	pending        gap           // whose media have yet to catch up; zero: there is none
	// pendingFront and pendingArrival are what front and arrival were before it.
	pendingFront, pendingArrival time.Duration
	found                        []gap // of the last gapWindow
}

// A gap is one pause.
type gap struct {
	end    time.Duration // on the media clock
	length time.Duration // by how much later its media came
}

// Observe takes an access unit: its timestamp on the publisher's clock, and when it arrived
// on the media clock.
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

// Skip leaves out what arrives until then: this server itself was held up.
func (g *Gaps) Skip(until time.Duration) { g.skip, g.pending = until, gap{} }

func (g *Gaps) remember(one gap) {
	g.found = slices.DeleteFunc(g.found, func(old gap) bool { return one.end-old.end > gapWindow })
	if len(g.found) == maxGaps {
		g.found = slices.Delete(g.found, 0, 1)
	}
	g.found = append(g.found, one)
}

// Repeated returns the longest gap of the minute before now, if the input comes in bursts; else
// 0. It does if there was more than one gap, and either they are long or a good part of the
// time is gaps: a busy machine has short ones now and then. The newest counts as soon as it is
// over.
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

// Unread returns how long nothing had arrived before an access unit that is yet to be observed
// and arrived then, if that may be a gap; else 0.
func (g *Gaps) Unread(arrival time.Duration) time.Duration {
	if pause := arrival - g.arrival; g.began && arrival > g.skip && pause >= minGap {
		return pause
	}
	return 0
}

// Last returns when the last gap ended and how long it was; 0, 0 where there is none.
func (g *Gaps) Last() (end, length time.Duration) {
	last := g.pending
	if last.length == 0 && len(g.found) > 0 {
		last = g.found[len(g.found)-1]
	}
	return last.end, last.length
}
