package stream

import "time"

// MaxDeparture is how far a publication's mapped time may lie behind its arrival
// before the publication is anchored anew.
const MaxDeparture = time.Second

// clock maps one publication's timestamps to the media clock: media = timestamp + offset.
//
// The first access unit is anchored at its arrival. One that arrives early pulls the
// offset down, for both tracks, so mapped times never run ahead of the clock and the
// offset settles at the path's smallest delay. One that lies more than MaxDeparture
// from its arrival (a jump, a looped file, a backlog after a pause) anchors anew.
//
// The two tracks of a publication do not jump at the same access unit, so the offset
// from before the jump stays valid for the track that has yet to follow.
type clock struct {
	started  bool
	offset   time.Duration
	hasPrior bool
	prior    time.Duration
	// anchors counts how often the clock was anchored anew.
	anchors int
}

// media returns the offset to add to timestamps of an access unit that was decoded
// at timestamp ts on the publisher's clock and arrived at the given media time.
func (c *clock) media(ts, arrival time.Duration) time.Duration {
	if !c.started {
		c.started = true
		c.offset = arrival - ts
		return c.offset
	}
	lag := arrival - ts - c.offset
	switch {
	case lag >= 0 && lag <= MaxDeparture:
		return c.offset
	case lag < 0 && lag >= -MaxDeparture:
		c.offset += lag
		return c.offset
	}
	if priorLag := arrival - ts - c.prior; c.hasPrior && priorLag >= 0 && priorLag <= MaxDeparture {
		return c.prior
	}
	c.hasPrior, c.prior = true, c.offset
	c.offset = arrival - ts
	c.anchors++
	return c.offset
}
