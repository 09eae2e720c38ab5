package failover

import "time"

// This file has the decisions about input that comes in bursts: a relay or a bonded link collects
// media for some seconds and delivers it at once. See stream.Gaps.

// burst returns the longest gap of the leg's input within the last minute, if its gaps repeat. It
// returns 0 if the input is regular or the policy tolerates no gaps.
func (l Leg) burst(p Policy) time.Duration {
	if p.Rules < rulesBursts {
		return 0
	}
	return min(l.Burst, p.MaxJitter)
}

// tolerant returns the policy for this leg. A leg whose input comes in bursts may be silent for one
// and a half times its longest gap.
func (l Leg) tolerant(p Policy) Policy {
	p.InputLoss = max(p.InputLoss, l.burst(p)*3/2)
	return p
}

// isSteadyAgain reports whether the leg's last gap seems to have been the only one: since the gap,
// media has arrived for as long as the gap lasted. If not, until is when that will be so.
func (l Leg) isSteadyAgain(p Policy, now time.Duration) (back bool, until time.Duration) {
	if p.Rules < rulesBursts || l.GapLength == 0 || l.GapLength > p.MaxJitter {
		return true, 0
	}
	until = l.GapEnd + l.GapLength
	return now >= until, until
}

// silentSince returns when the last access unit came of a track that is lost because it is silent.
// If silent is false, the leg is lost for another reason, or not lost.
func (l Leg) silentSince(p Policy, now time.Duration) (since time.Duration, silent bool) {
	switch {
	case !l.Publishing:
	case l.Video.playable() && l.Decodable && now >= l.videoLostAt(p):
		return l.Video.LastArrival, true
	case l.Audio.playable() && now >= l.audioLostAt(p, now):
		return l.Audio.LastArrival, true
	}
	return 0, false
}

// stayUntil returns until when the pair stays with the active leg, which has been silent since
// that time, instead of switching to this leg; 0: there is no need to wait. This leg has gaps, and
// the active leg may be in a gap as well. Without the wait a pair would switch for ever between two
// such legs. So the active leg must be silent for longer than the gaps of this leg.
func (l Leg) stayUntil(p Policy, since, now time.Duration) time.Duration {
	if gap := l.burst(p); gap > 0 {
		return since + gap*3/2
	}
	if back, until := l.isSteadyAgain(p, now); !back {
		return min(until, since+l.GapLength*3/2)
	}
	return 0
}

// pausesAt returns when the leg counts as pausing if nothing more arrives. That is before it counts
// as lost. A pausing leg is no better than another leg that fell silent a moment sooner.
func (l Leg) pausesAt(p Policy) time.Duration {
	p = l.tolerant(p)
	interval := func(t Track) time.Duration {
		if t.Announced && t.Interval == 0 {
			return assumedInterval
		}
		return t.Interval
	}
	last := max(l.Video.LastArrival, l.Audio.LastArrival)
	return last + max(p.InputLoss/2, 3*interval(l.Video), 3*interval(l.Audio))
}

// leave decides about an active leg that ranks lower than the other leg. The pair leaves it at
// once, unless it is silent and the other leg's input has gaps as well.
func (d Decision) leave(p Policy, legs Legs, s State, now time.Duration) Decision {
	to := s.Active.Other()
	active, other := legs.Leg(s.Active), legs.Leg(to)
	left := d.to(to, active.lossReason(s.Active, p, now), Urgent)
	since, silent := active.silentSince(p, now)
	if p.Rules < rulesBursts || !silent {
		return left
	}
	if at := other.stayUntil(p, since, now); now < at {
		d.Recheck = earliest(d.Recheck, at)
		return d
	}
	pauses := other.pausesAt(p)
	if now >= pauses {
		return d
	}
	left.Recheck = earliest(left.Recheck, pauses)
	return left
}

// steadier decides between legs of equal rank: a leg with regular input is better than a leg whose
// input comes in bursts. It reports whether that settles the choice. A pinned leg comes first.
func (d Decision) steadier(p Policy, legs Legs, s State, now time.Duration) (Decision, bool) {
	to := s.Active.Other()
	active, other := legs.Leg(s.Active).burst(p), legs.Leg(to).burst(p)
	switch {
	case p.Select != "":
	case active > 0 && other == 0:
		back, until := legs.Leg(to).isSteadyAgain(p, now)
		if !back {
			d.Recheck = earliest(d.Recheck, until)
			return d, true
		}
		return d.to(to, degradedReason(s.Active), Planned), true
	case other > 0 && active == 0:
		return d, true
	}
	return d, false
}

func degradedReason(r Role) Reason {
	if r == Backup {
		return ReasonBackupDegraded
	}
	return ReasonPrimaryDegraded
}
