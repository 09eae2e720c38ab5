package stream

import "time"

// MaxDeparture is how far a publication's mapped time may lie behind its arrival
// before the publication is anchored anew.
const MaxDeparture = time.Second

const (
	// driftWindow is how long the smallest lag is looked for.
	driftWindow = 4 * time.Second
	// maxDrift is how fast an encoder's clock is taken to run slow: 1 part in 5000, some
	// four times what a bad crystal does.
	maxDrift = 5000
)

// clock maps one publication's timestamps to the media clock: media = timestamp + offset.
//
// The first access unit is anchored at its arrival. One that arrives early pulls the
// offset down, for both tracks, so mapped times never run ahead of the clock and the
// offset settles at the path's smallest delay. One that lies more than MaxDeparture
// from its arrival (a jump, a looped file, a backlog after a pause) anchors anew.
//
// Input in bursts does not depart: it is late by its gaps, and catches up. While gaps repeat,
// the mapping holds for half as long again.
//
// An encoder whose clock runs slow is followed by raising the offset as slowly;
// otherwise it would be anchored anew, and its picture jump by a second, every few hours.
//
// The two tracks of a publication do not jump at the same access unit, so the offset
// from before the jump stays valid for the track that has yet to follow.
//
// A publisher that begins with what it has cached says where it is now, and what it sends
// of before that moment is mapped as if it had come in time.
type clock struct {
	started  bool
	offset   time.Duration
	hasPrior bool
	prior    time.Duration
	// anchors counts how often the clock was anchored anew.
	anchors int
	// gaps are those of the input.
	gaps Gaps

	// smallestLag is that of the access units since windowStart.
	windowStart, smallestLag time.Duration

	// shift is what the publisher has said to add to its timestamps, and is in offset.
	shift time.Duration

	// backlogEnd is where the publisher's clock was at the media time anchored; that is 0
	// where there is no backlog.
	backlogEnd, anchored time.Duration
}

// maxBacklog is how long a publisher takes at most to send what it has cached.
const maxBacklog = 10 * time.Second

// anchor says that the publisher is at ts of its clock now, and that earlier access units
// are still to come.
func (c *clock) anchor(ts, now time.Duration) {
	c.started = true
	c.set(now-ts, now)
	c.backlogEnd, c.anchored = ts, now
}

// shiftTo says that the publisher's timestamps are to be moved by shift from now on.
func (c *clock) shiftTo(shift, now time.Duration) {
	c.set(c.offset+shift-c.shift, now)
	c.shift = shift
}

// isBacklog says whether an access unit is older than its arrival shows.
func (c *clock) isBacklog(ts, arrival time.Duration) bool {
	return c.anchored != 0 && ts <= c.backlogEnd && arrival < c.anchored+maxBacklog
}

// media returns the offset to add to timestamps of an access unit that was decoded
// at timestamp ts on the publisher's clock and arrived at the given media time.
func (c *clock) media(ts, arrival time.Duration) time.Duration {
	if !c.started {
		c.started = true
		c.set(arrival-ts, arrival)
		c.gaps.Observe(ts, arrival)
		return c.offset
	}
	if c.isBacklog(ts, arrival) {
		return c.offset
	}
	c.gaps.Observe(ts, arrival)
	lag := arrival - ts - c.offset
	switch {
	case lag >= 0 && lag <= c.maxLag(arrival):
		c.settle(lag, arrival)
		return c.offset
	case lag < 0 && lag >= -MaxDeparture:
		c.set(c.offset+lag, arrival)
		return c.offset
	}
	// The track that has yet to jump must not anchor anew when it comes a little early:
	// the tracks would take the offset from each other until both have jumped.
	if lag := arrival - ts - c.prior; c.hasPrior && lag >= -MaxDeparture && lag <= MaxDeparture {
		c.prior += min(lag, 0)
		return c.prior
	}
	c.hasPrior, c.prior = true, c.offset
	c.set(arrival-ts, arrival)
	c.anchors++
	return c.offset
}

// longestBurst bounds the gaps that the mapping holds for.
const longestBurst = 10 * time.Second

// maxLag is how late an access unit may be before the clock is anchored anew.
func (c *clock) maxLag(now time.Duration) time.Duration {
	return max(MaxDeparture, min(c.gaps.Repeated(now), longestBurst)*3/2)
}

func (c *clock) set(offset, arrival time.Duration) {
	c.offset, c.windowStart, c.smallestLag = offset, arrival, MaxDeparture
}

// settle raises the offset if even the promptest access unit of a window was late. The
// lag at hand is one of them, so its mapped time stays at or before its arrival.
func (c *clock) settle(lag, arrival time.Duration) {
	c.smallestLag = min(c.smallestLag, lag)
	if d := arrival - c.windowStart; d >= driftWindow {
		c.set(c.offset+min(c.smallestLag, d/maxDrift), arrival)
	}
}
