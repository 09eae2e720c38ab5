package stream

import "time"

// MaxDeparture is how far a publication's mapped time may lie behind its arrival before the clock
// is anchored anew.
const MaxDeparture = time.Second

const (
	// driftWindow is the time over which the smallest lag is determined.
	driftWindow = 4 * time.Second
	// maxDrift: an encoder's clock is assumed to run slow by at most 1 part in maxDrift. That is
	// some four times the error of a bad crystal.
	maxDrift = 5000
)

// clock maps one publication's timestamps to the media clock: media = timestamp + offset.
//
// The first access unit is anchored at its arrival. An access unit that arrives early lowers the
// offset, for both tracks. So mapped times never run ahead of the media clock, and the offset
// settles at the path's smallest delay. An access unit more than MaxDeparture from its arrival (a
// jump, a looped file, a backlog after a pause) anchors the clock anew.
//
// Input in bursts does not anchor anew: it is late by its gaps, and catches up. While gaps repeat,
// the mapping tolerates one and a half times the longest gap.
//
// If an encoder's clock runs slow, the offset rises just as slowly. Otherwise the clock would be
// anchored anew every few hours, and the picture would jump by a second.
//
// The two tracks of a publication do not jump at the same access unit. So the offset from before
// the jump stays valid for the track that has yet to jump.
//
// A publisher that begins with cached media says where its clock is now (see anchor). Media from
// before that moment is mapped as if it had come in time.
type clock struct {
	started  bool
	offset   time.Duration
	hasPrior bool
	prior    time.Duration
	// anchors counts how often the clock was anchored anew.
	anchors int
	// gaps are the gaps of the input. The mapping tolerates them unless ignoresGaps is set.
	gaps        Gaps
	ignoresGaps bool

	// smallestLag is the smallest lag of the access units since windowStart.
	windowStart, smallestLag time.Duration

	// shift is what the publisher has said to add to its timestamps. offset includes shift.
	shift time.Duration

	// backlogEnd is what the publisher's clock showed at the media time anchored. anchored is 0 if
	// there is no backlog.
	backlogEnd, anchored time.Duration
}

// maxBacklog is how long a publisher may take to send the media that it has cached.
const maxBacklog = 10 * time.Second

// anchor notes that the publisher's clock shows ts now, and that access units from before are still
// to come.
func (c *clock) anchor(ts, now time.Duration) {
	c.started = true
	c.set(now-ts, now)
	c.backlogEnd, c.anchored = ts, now
}

// shiftTo moves the publisher's timestamps by shift from now on.
func (c *clock) shiftTo(shift, now time.Duration) {
	c.set(c.offset+shift-c.shift, now)
	c.shift = shift
}

// isBacklog reports whether an access unit is older than its arrival shows.
func (c *clock) isBacklog(ts, arrival time.Duration) bool {
	return c.anchored != 0 && ts <= c.backlogEnd && arrival < c.anchored+maxBacklog
}

// media returns the offset to add to the timestamps of an access unit. Its decoding time is ts on
// the publisher's clock, and it arrived at the media time arrival.
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
	// A track that has yet to jump and comes a little early must not anchor the clock anew.
	// Otherwise the tracks would take the offset from each other until both have jumped.
	if lag := arrival - ts - c.prior; c.hasPrior && lag >= -MaxDeparture && lag <= MaxDeparture {
		c.prior += min(lag, 0)
		return c.prior
	}
	c.hasPrior, c.prior = true, c.offset
	c.set(arrival-ts, arrival)
	c.anchors++
	return c.offset
}

// longestBurst bounds the gaps that the mapping tolerates.
const longestBurst = 10 * time.Second

// maxLag is how late an access unit may be before the clock is anchored anew.
func (c *clock) maxLag(now time.Duration) time.Duration {
	if c.ignoresGaps {
		return MaxDeparture
	}
	return max(MaxDeparture, min(c.gaps.Repeated(now), longestBurst)*3/2)
}

// TolerateGaps sets whether input in bursts keeps its times; by default it does. If not, each gap
// of more than MaxDeparture anchors the publication's clock anew.
func (s *Stream) TolerateGaps(tolerate bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ignoresGaps = !tolerate
	for _, p := range append([]*Publication{s.current, s.pending}, s.contenders...) {
		if p != nil {
			p.clock.ignoresGaps = s.ignoresGaps
		}
	}
}

func (c *clock) set(offset, arrival time.Duration) {
	c.offset, c.windowStart, c.smallestLag = offset, arrival, MaxDeparture
}

// settle raises the offset if even the smallest lag in a window was positive. The lag of the
// current access unit counts, so its mapped time stays at or before its arrival.
func (c *clock) settle(lag, arrival time.Duration) {
	c.smallestLag = min(c.smallestLag, lag)
	if d := arrival - c.windowStart; d >= driftWindow {
		c.set(c.offset+min(c.smallestLag, d/maxDrift), arrival)
	}
}
