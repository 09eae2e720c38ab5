package relay

import "time"

const (
	// maxAge is how old the data that waits for a player may become.
	maxAge = 5 * time.Second
	// burstFactor: the first burst may take burstFactor times its playing time. A line of half the
	// bit rate gets the first pictures whole.
	burstFactor = 2
	// maxStep bounds the playing time that one access unit counts for: a pause of the encoder gives
	// a player no extra time.
	maxStep = time.Second
)

// A pace is the schedule by which a player must take a stream. An access unit is due when it has
// come, but not before its predecessor has been played. So a player with a line as fast as the
// stream is never late, although it stays behind by the burst with which it began. A player that
// has caught up is late as soon as the next access unit waits.
//
// A pace is pure. All times are on the media clock.
type pace struct {
	due   time.Duration // when the previous access unit was due
	taken time.Duration // when the player had taken the previous access unit
	end   time.Duration // the greatest DTS so far; negative: none
}

// newPace returns the pace of a player that comes at now.
func newPace(now time.Duration) pace { return pace{due: now, taken: now, end: -1} }

// next returns when an access unit is due that came at arrived. burst reports whether it belongs to
// the burst with which the player begins.
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

// took notes that the player took the access unit at now.
func (p *pace) took(now time.Duration) { p.taken = now }

// late reports whether an access unit that was due at due waits too long.
func late(due, now time.Duration) bool { return now-due > maxAge }
