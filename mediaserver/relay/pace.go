package relay

import "time"

const (
	// maxAge is how old what waits for a player may become.
	maxAge = 5 * time.Second
	// burstFactor is how much longer than its playing time the burst may take with which
	// a player begins: a line of half the bit rate gets the first pictures whole.
	burstFactor = 2
	// maxStep bounds the playing time of one access unit: a pause of the encoder gives a
	// player no time.
	maxStep = time.Second
)

// A pace is the schedule by which a player is to take a stream. An access unit is due
// when it has come, and not before the time that its predecessor's playing time takes. A
// player whose line is as fast as the stream is therefore never late, although it stays
// behind by the burst with which it began. A player that has caught up is late as soon as
// the next access unit waits.
//
// A pace is pure. All times are on the media clock.
type pace struct {
	due   time.Duration // of the access unit before
	taken time.Duration // when the player had taken that
	end   time.Duration // where that ends: the greatest DTS so far
}

// newPace returns the pace of a player that comes now.
func newPace(now time.Duration) pace { return pace{due: now, taken: now, end: -1} }

// next returns when an access unit is due that arrived at a time. burst says that it is
// one of those with which the player begins.
func (p *pace) next(arrived, dts time.Duration, burst bool) (due time.Duration) {
	var step time.Duration
	if p.end >= 0 {
		step = min(max(dts-p.end, 0), maxStep)
	}
	p.end = max(p.end, dts)
	if burst {
		step *= burstFactor
	}
	p.due = max(arrived, min(p.due, p.taken)+step)
	return p.due
}

// took says that the player took the access unit.
func (p *pace) took(now time.Duration) { p.taken = now }

// late reports whether what was due at a time waits too long.
func late(due, now time.Duration) bool { return now-due > maxAge }
