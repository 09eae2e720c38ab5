package failover

import "time"

// This file has what is decided about input in bursts: that of a relay or of a bonded link
// which collects some seconds and delivers them at once. See stream.Gaps.

// burst is the longest gap of the leg's input within the last minute, if its gaps repeat; 0:
// it is regular, or the policy does not put up with gaps.
func (l Leg) burst(p Policy) time.Duration {
	if p.Rules < rulesBursts {
		return 0
	}
	return min(l.Burst, p.MaxJitter)
}

// tolerant is the policy for a leg whose input comes in bursts: it may be silent for one and a
// half times its longest gap.
func (l Leg) tolerant(p Policy) Policy {
	p.InputLoss = max(p.InputLoss, l.burst(p)*3/2)
	return p
}

// isBack reports whether the leg has shown since its last gap that it was the only one: it
// has been there for as long as it was away. If not, until is when it will have.
func (l Leg) isBack(p Policy, now time.Duration) (back bool, until time.Duration) {
	if p.Rules < rulesBursts || l.GapLength == 0 || l.GapLength > p.MaxJitter {
		return true, 0
	}
	until = l.GapEnd + l.GapLength
	return now >= until, until
}

// silentSince returns when the last of a track came that is lost because nothing of it comes.
// Without one, the leg is not silent: what it lacks is lost for another reason.
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

// worthWaiting returns until when the active leg, silent since then, is not left for this leg;
// 0: there is no need to wait. This leg has gaps, and the active leg may be in a gap as well:
// without the wait a pair would switch for ever between two such legs. The active leg must be
// silent for longer than the gaps of this leg are.
func (l Leg) worthWaiting(p Policy, since, now time.Duration) time.Duration {
	if gap := l.burst(p); gap > 0 {
		return since + gap*3/2
	}
	if back, until := l.isBack(p, now); !back {
		return min(until, since+l.GapLength*3/2)
	}
	return 0
}

// pausesAt is when the leg counts as one that pauses, if nothing more arrives: before it is
// lost. It is no better than another that has fallen silent a moment sooner.
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

// leave decides about an active leg of lower rank than the other's. It is left at once, unless
// it is silent and the other's input has gaps as well.
func (d Decision) leave(p Policy, legs Legs, s State, now time.Duration) Decision {
	to := s.Active.Other()
	active, other := legs.Leg(s.Active), legs.Leg(to)
	left := d.to(to, active.lossReason(s.Active, p, now), Urgent)
	since, silent := active.silentSince(p, now)
	if p.Rules < rulesBursts || !silent {
		return left
	}
	if at := other.worthWaiting(p, since, now); now < at {
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

// steadier decides between legs of equal rank: one that is regular is better than one whose
// input comes in bursts. It reports whether there is a choice. A person's choice comes first.
func (d Decision) steadier(p Policy, legs Legs, s State, now time.Duration) (Decision, bool) {
	to := s.Active.Other()
	active, other := legs.Leg(s.Active).burst(p), legs.Leg(to).burst(p)
	switch {
	case p.Select != "":
	case active > 0 && other == 0:
		back, until := legs.Leg(to).isBack(p, now)
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
