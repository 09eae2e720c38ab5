package failover

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// maxHeldBytes and maxHeldUnits bound what a pair holds back. What is beyond leaves early.
const (
	maxHeldBytes = 32 << 20
	maxHeldUnits = 8192
)

// A holdback delays the active leg while its input comes in bursts, so that pictures leave as
// evenly as they were made. The delay is the longest gap so far. It grows when a longer one
// has emptied the holdback, and goes with the next switch.
type holdback struct {
	delay time.Duration
	units []*stream.AccessUnit
	bytes int
}

// spare is how much longer the delay is than the longest gap: the next gap may be longer.
const spare = 100 * time.Millisecond

// grow makes the delay long enough for an access unit that is so late, and at most most. It
// reports whether that is a change.
func (h *holdback) grow(late, most time.Duration) bool {
	if late = min(late, most-spare); late <= h.delay {
		return false
	}
	h.delay = late + spare
	return true
}

// add puts an access unit where it belongs by its time: a burst may have all of one track
// before the other. Within a track the order stays, also where the clock was anchored anew.
func (h *holdback) add(u *stream.AccessUnit) {
	at := len(h.units)
	for at > 0 && h.units[at-1].Kind != u.Kind && h.units[at-1].DTS > u.DTS {
		at--
	}
	h.units = slices.Insert(h.units, at, u)
	h.bytes += u.Size()
}

// isDue reports whether an access unit is not held back at now.
func (h *holdback) isDue(u *stream.AccessUnit, now time.Duration) bool {
	return h.delay == 0 || u.DTS+h.delay <= now
}

// next takes the access unit out that is due. Without one, wait is how long it is until the
// next; 0: there is none.
func (h *holdback) next(now time.Duration) (u *stream.AccessUnit, wait time.Duration) {
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

// shifted is an access unit with the times that it goes out with.
func (h *holdback) shifted(u *stream.AccessUnit) *stream.AccessUnit {
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
	if l.bursty && p.held.grow(p.now()-u.DTS, p.Policy().MaxJitter) {
		p.log.Info("playing is delayed, because the input comes in bursts", "leg", l.role, "delay", p.held.delay.Round(time.Millisecond))
	}
	if p.held.delay == 0 {
		l.sent = u.Seq
		p.emit(l, u)
		return
	}
	p.held.add(u)
}

// release sends what was held back and is due, and returns how long the next has to wait; 0:
// there is none.
func (p *Pair) release() time.Duration {
	l := p.leg(p.state.Active)
	for {
		u, wait := p.held.next(p.now())
		if u == nil {
			return wait
		}
		p.handling = u.Publication
		l.sent = max(l.sent, u.Seq)
		p.emit(l, p.held.shifted(u))
	}
}
