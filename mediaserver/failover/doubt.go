package failover

import "time"

// This file has what a server does that may have missed a failover of its peer. Such a
// server was frozen, starved or cut off, and still plays the leg that its own absence took
// from the viewers of its peer. It does not pull the peer back to that leg.

// A Doubt says what has happened to a server since it last agreed with its peer about the
// active leg. Of two servers that play different legs, the one with less doubt is right.
// Unlike times, doubts can be compared whatever the servers' clocks say.
type Doubt int

// The doubts, least first. Their numbers are told to the peer.
const (
	// Certain: nothing. The server runs, and the leg has been on air without a break.
	Certain Doubt = iota
	// FailedOver: the server has lost the other leg, which the peer may still have.
	FailedOver
	// Interrupted: the server was held up, or had nothing on air, or has just begun. The
	// peer may have failed over meanwhile.
	Interrupted
)

const (
	// regained is how long a server that was held up takes to have its connections again.
	// A leg that it loses before may be lost to this server alone.
	regained = 5 * time.Second
	// connectionsEnd is a time after which the connections to a peer have ended: package
	// relay waits as long for a sign of life.
	connectionsEnd = 2 * time.Second
	// onTime is the longest pause of a goroutine that has something to do every audioTick
	// and runs when it should.
	onTime = 100 * time.Millisecond
)

// mustListen reports whether a server has come back so lately that its connections to the
// peer may not stand again. What it has lost may be lost for that reason alone, so a
// failover to r waits, unless the peer says that it plays r.
func (a Accord) mustListen(s State, r Role, now time.Duration) bool {
	if a.rules() < rulesDoubt || s.resumed == 0 || now >= s.resumed+adoptWithin {
		return false
	}
	heard := a.Peer != nil && a.Heard > s.resumed
	return !heard || !a.Peer.OnAir || a.Peer.Active != r
}

// doubting is the state of a pair to which this happened at now.
func (s State) doubting(what Doubt, now time.Duration) State {
	s.doubt, s.doubtSince = what, now
	return s
}

// held is the state of a pair whose server was held up from since until now: so long that
// its peer may have failed over.
func (s State) held(since, now time.Duration) State {
	s.heldUntil = now
	if now-since >= connectionsEnd {
		s.resumed = now
	}
	return s.doubting(Interrupted, now)
}

// afterFailover is the state of a pair that has lost its active leg and switched at now. Right
// after the server was held up, that says nothing about the leg.
func (s State) afterFailover(now time.Duration) State {
	if s.heldUntil != 0 && now < s.heldUntil+regained {
		return s
	}
	return s.doubting(FailedOver, now)
}

// confirmed is the state of a pair whose peer says that it plays the same leg. It has to
// say so some time after the doubt arose: what was said before may have waited in a buffer
// while this server was held up.
func (s State) confirmed(a Accord) State {
	agrees := a.Peer != nil && a.Peer.OnAir && a.Peer.Active == s.Active
	if agrees && a.Heard >= s.doubtSince+settling {
		s.doubt = Certain
	}
	return s
}

// lag is the time that a pair's goroutine has lost lately: by one long pause, as of a
// process that is stopped, or by many short ones, as of one that is starved.
type lag time.Duration

// add notes that the goroutine did not run for pause. It reports whether the lost time has
// come to limit, and then counts anew.
func (l *lag) add(pause, limit time.Duration) bool {
	if pause < onTime {
		*l = max(0, *l-lag(pause/4))
		return false
	}
	*l += lag(pause)
	if *l < lag(limit) {
		return false
	}
	*l = 0
	return true
}

// notePause looks at how long the pair's goroutine did not run, and reports whether the
// legs have to be judged anew for that.
func (p *Pair) notePause(now time.Duration) bool {
	since := p.lastLoop
	p.lastLoop = now
	// A peer that gets nothing from this server for its loss time fails over.
	if p.lag.add(now-since, max(onTime, p.Policy().InputLoss*3/4)) {
		p.state = p.state.held(since, now)
	}
	if now-since <= ownStall {
		return false
	}
	p.log.Warn("the server was held up; a leg's silence meanwhile is not counted", "for", now-since)
	p.heldSince, p.graceEnd = since, now+stallGrace
	for _, l := range p.legs {
		l.gaps.Skip(p.graceEnd)
	}
	return true
}
