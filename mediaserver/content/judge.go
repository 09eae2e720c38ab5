package content

import "time"

const (
	// maxAge is how long ago both legs must have been heard. If one was not, no leg has a fault: there
	// is nothing to compare with.
	maxAge = 3 * time.Second
	// maxOffset is the largest offset between the legs that is allowed for.
	maxOffset = 30 * time.Second
	// least is the least time for which a leg must show a fault while the other leg is without it.
	// It covers the error of the offset.
	least = 500 * time.Millisecond

	// offsetError is how wrong the offset may be.
	offsetError = 200 * time.Millisecond

	// pictures are measured at key frames.
	picturePause = 15 * time.Second
	soundPause   = time.Second
	ratePause    = 5 * time.Second
	speechPause  = 2 * time.Second
	// forgetAfter is how long a fault stays that is not measured any more.
	forgetAfter = picturePause
)

// A Leg names a leg of the pair.
type Leg int

// The legs.
const (
	Primary Leg = iota
	Backup
)

// A Verdict is what is wrong with a leg.
type Verdict struct {
	// Known reports whether both legs are measured now. If not, Has is empty.
	Known bool
	// Has reports for each fault whether the leg has it.
	Has [faultCount]bool
}

// A Judge compares the measurements of both legs. The zero value judges by a policy in which
// nothing counts. Its memory is bounded. A Judge is not safe for concurrent use.
//
// Each measurement has the leg's own time, in which the leg's media is in order. The offset says
// how much later the backup shows what the primary shows.
type Judge struct {
	policy Policy
	legs   [2]leg
}

// leg is what a Judge knows of one leg.
type leg struct {
	faults [faultCount]history
	// now is the leg's time at its newest measurement, and picture at its newest picture. heard is
	// when whoever measures the leg was last heard.
	now, picture, heard time.Duration
}

// SetPolicy sets the policy from now on.
func (j *Judge) SetPolicy(p Policy) { j.policy = p }

// Restart says that a new publication of the leg begins, with times of its own. A fault stays until
// the new publication is without it.
func (j *Judge) Restart(l Leg) {
	for f := range j.legs[l].faults {
		before := j.legs[l].faults[f]
		j.legs[l].faults[f] = history{present: before.present, heard: before.heard}
	}
	j.legs[l].now, j.legs[l].picture = 0, 0
}

// Hear notes that whoever measures the leg was heard at now, whether there was media to measure or not.
func (j *Judge) Hear(l Leg, now time.Duration) { j.legs[l].heard = now }

// AddSound adds the peak level of the leg's sound from one time to another.
func (j *Judge) AddSound(l Leg, from, to time.Duration, peakDBFS float64) {
	j.add(l, Silent, j.policy.silent(peakDBFS), from, to)
}

// AddPicture adds a picture, which stands in place of the picture before it from at on.
func (j *Judge) AddPicture(l Leg, at time.Duration, p Picture) {
	j.add(l, Black, black(p), at, at)
	if before := j.legs[l].picture; before != 0 && before < at && at <= before+picturePause {
		j.add(l, Frozen, frozen(p), before, at)
	}
	j.legs[l].picture = at
}

// AddRates adds the leg's bit rate, its picture rate and its usual picture rate, both in pictures a
// second. A usual rate of 0 is unknown.
func (j *Judge) AddRates(l Leg, from, to time.Duration, bps int64, rate, usual float64) {
	j.add(l, LowBitrate, j.policy.lowBitrate(bps), from, to)
	j.add(l, LowFrameRate, j.policy.lowFrameRate(rate, usual), from, to)
}

func (j *Judge) add(l Leg, f Fault, s state, from, to time.Duration) {
	one := &j.legs[l]
	one.now = max(one.now, to)
	one.faults[f].heard = one.heard
	one.faults[f].add(s, from, to, j.kind(f))
}

// kind returns how a fault is measured.
func (j *Judge) kind(f Fault) kind {
	switch f {
	case Silent:
		// A pause that both legs make must not count, so it is less than what counts.
		return kind{pause: soundPause, gap: min(speechPause, j.policy.After[f]/2)}
	case LowBitrate, LowFrameRate:
		return kind{pause: ratePause}
	case Frozen:
		return kind{pause: picturePause, between: true}
	default:
		return kind{pause: picturePause}
	}
}

// Judge returns what is wrong with the primary and with the backup at now. The backup shows the
// programme by offset later than the primary, if that is known.
func (j *Judge) Judge(offset time.Duration, known bool, now time.Duration) (primary, backup Verdict) {
	verdicts := [2]Verdict{}
	fresh := now <= j.legs[Primary].heard+maxAge && now <= j.legs[Backup].heard+maxAge &&
		j.legs[Primary].heard != 0 && j.legs[Backup].heard != 0
	if !fresh {
		return
	}
	for l := range j.legs {
		by := offset
		if Leg(l) == Backup {
			by = -offset
		}
		verdicts[l].Known = true
		for _, f := range Faults() {
			verdicts[l].Has[f] = j.judge(Leg(l), f, by, known, now)
		}
	}
	return verdicts[Primary], verdicts[Backup]
}

// judge decides whether a leg has a fault. The other leg shows the programme by offset later.
func (j *Judge) judge(l Leg, f Fault, offset time.Duration, known bool, now time.Duration) bool {
	one, other, after := &j.legs[l], &j.legs[1-l], j.policy.After[f]
	h, beside := &one.faults[f], &other.faults[f]
	switch {
	case after == 0, now > h.heard+forgetAfter:
		h.present = false
	case h.present:
		h.present = h.clearFor() < j.policy.Clear
	case !h.isFaulty:
	case known:
		h.present = h.lasts(beside, after, offset, [2]time.Duration{one.now, other.now})
	default:
		// For each offset up to maxOffset either way, what the leg shows now lasts long enough
		// beside what the other leg has shown.
		without := max(2*maxOffset, after+maxOffset)
		h.present = h.faulty.length() >= after+maxOffset && beside.clearFor() >= without
	}
	return h.present
}
