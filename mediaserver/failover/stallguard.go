package failover

import "time"

const (
	// ownStall is the longest ordinary pause of the pair's goroutine. After a longer pause the
	// server itself was held up, and the legs' silence says nothing about the legs. Media that the
	// legs sent in the pause is still to be read: stallGrace is the time for that.
	ownStall   = 250 * time.Millisecond
	stallGrace = 250 * time.Millisecond
	// onTime is the longest ordinary pause of a goroutine that wakes up every audioTick.
	onTime = 100 * time.Millisecond
)

// A stallGuard notices that a pair's goroutine did not run, because the server was stopped or
// starved.
type stallGuard struct {
	lastRun time.Duration
	// lost is the time that the goroutine has lost lately: in one long pause, or in many short ones.
	lost time.Duration
	// heldSince is when the goroutine was last held up. Until graceEnd the legs' silence is judged
	// as of heldSince.
	heldSince, graceEnd time.Duration
}

// ran notes that the goroutine runs at now, and returns when it ran before. lagged reports whether
// the time that it has lost lately has reached limit. stalled reports whether the legs have to be
// judged anew because of the pause.
func (g *stallGuard) ran(now, limit time.Duration) (before time.Duration, lagged, stalled bool) {
	before, g.lastRun = g.lastRun, now
	pause := now - before
	if stalled = pause > ownStall; stalled {
		g.heldSince, g.graceEnd = before, now+stallGrace
	}
	if pause < onTime {
		g.lost = max(0, g.lost-pause/4)
		return before, false, stalled
	}
	if g.lost += pause; g.lost >= limit {
		g.lost, lagged = 0, true
	}
	return before, lagged, stalled
}

// judgedAt returns the time as of which the legs' silence is judged at now.
func (g *stallGuard) judgedAt(now time.Duration) time.Duration {
	if now < g.graceEnd {
		return g.heldSince
	}
	return now
}

// notePause notes how long the pair's goroutine did not run. It reports whether the legs have to be
// judged anew because of the pause.
func (p *Pair) notePause(now time.Duration) bool {
	// A peer that gets nothing from this server for the peer's loss time fails over.
	before, lagged, stalled := p.stall.ran(now, max(onTime, p.Policy().InputLoss*3/4))
	if lagged {
		p.state = p.state.afterPause(before, now)
	}
	if !stalled {
		return false
	}
	p.cfg.HeldUp.note(p.cfg.Name, now-before)
	for _, l := range p.legs {
		l.gaps.Skip(p.stall.graceEnd)
	}
	return true
}
