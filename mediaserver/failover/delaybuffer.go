package failover

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// maxHeldBytes and maxHeldUnits bound what a pair holds back. Access units beyond them leave early.
const (
	maxHeldBytes = 32 << 20
	maxHeldUnits = 8192
)

// A delayBuffer delays the active leg while its input comes in bursts, so that pictures leave as
// evenly as they were made. The delay is the longest gap so far. The delay grows when a longer gap
// has emptied the buffer, and ends with the next switch.
type delayBuffer struct {
	delay time.Duration
	units []*stream.AccessUnit
	bytes int
}

// spare is how much longer the delay is than the longest gap: the next gap may be longer.
const spare = 100 * time.Millisecond

// grow makes the delay long enough for an access unit that comes late by late. The delay is at most
// most. grow reports whether the delay has changed.
func (h *delayBuffer) grow(late, most time.Duration) bool {
	if late = min(late, most-spare); late <= h.delay {
		return false
	}
	h.delay = late + spare
	return true
}

// add inserts an access unit by its time: a burst may bring all of one track before the other
// track. The order within a track stays, even where its clock was anchored anew.
func (h *delayBuffer) add(u *stream.AccessUnit) {
	at := len(h.units)
	for at > 0 && h.units[at-1].Kind != u.Kind && h.units[at-1].DTS > u.DTS {
		at--
	}
	h.units = slices.Insert(h.units, at, u)
	h.bytes += u.Size()
}

// isDue reports whether an access unit may leave at now.
func (h *delayBuffer) isDue(u *stream.AccessUnit, now time.Duration) bool {
	return h.delay == 0 || u.DTS+h.delay <= now
}

// next removes and returns the access unit that is due. If none is due, u is nil and wait is the
// time until the next is due; 0: nothing is held back.
func (h *delayBuffer) next(now time.Duration) (u *stream.AccessUnit, wait time.Duration) {
	if len(h.units) == 0 {
		return nil, 0
	}
	u = h.units[0]
	if !h.isDue(u, now) && h.bytes <= maxHeldBytes && len(h.units) <= maxHeldUnits {
		return nil, u.DTS + h.delay - now
	}
	h.units[0] = nil
	h.units, h.bytes = h.units[1:], h.bytes-u.Size()
	return u, 0
}

// shifted returns an access unit with the delay added to its times. It goes out with these times.
func (h *delayBuffer) shifted(u *stream.AccessUnit) *stream.AccessUnit {
	if h.delay == 0 {
		return u
	}
	later := *u
	later.DTS, later.PTS = u.DTS+h.delay, u.PTS+h.delay
	later.Arrival = max(u.Arrival, later.PTS)
	return &later
}

// pass sends an access unit of the active leg, or holds it back until it is due.
func (p *Pair) pass(l *leg, u *stream.AccessUnit) {
	if l.bursty && p.delayed.grow(p.now()-u.DTS, p.Policy().MaxJitter) {
		p.log.Info("playing is delayed, because the input comes in bursts", "leg", l.role, "delay", p.delayed.delay.Round(time.Millisecond))
	}
	if p.delayed.delay == 0 {
		l.sent = u.Seq
		p.emit(l, u)
		return
	}
	p.delayed.add(u)
}

// release sends the access units that were held back and are due. It returns how long the next has
// to wait; 0: nothing is held back.
func (p *Pair) release() time.Duration {
	l := p.leg(p.state.Active)
	for {
		u, wait := p.delayed.next(p.now())
		if u == nil {
			return wait
		}
		p.handling = u.Publication
		l.sent = max(l.sent, u.Seq)
		p.emit(l, p.delayed.shifted(u))
	}
}
