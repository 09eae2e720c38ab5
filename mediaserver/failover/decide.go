package failover

import "time"

const (
	// startupWindow is how long after the pair's first picture a primary that comes
	// late still gets the place that the backup took in its absence.
	startupWindow = 10 * time.Second
	// dampingWindow: a failover within this time of the last doubles the recovery
	// time, from minDoubled up to maxRecovery.
	dampingWindow = 10 * time.Minute
	minDoubled    = time.Second
	maxRecovery   = 10 * time.Minute
	// returnInterval is the least time between two returns to a preferred leg, so that
	// a short recovery time and a leg that keeps failing do not make a flicker.
	returnInterval = time.Minute
)

// A Mode says which leg a pair goes back to.
type Mode string

// The modes.
const (
	// Sticky stays with the leg that is on.
	Sticky Mode = "Sticky"
	// PreferPrimary goes back to the primary once it has recovered.
	PreferPrimary Mode = "PreferPrimary"
)

// A Policy is how a pair's owner wants it to behave.
type Policy struct {
	Mode Mode
	// Select pins a leg; the zero value leaves the choice to Mode.
	Select Role
	// InputLoss is how long a track may be silent before it counts as lost; a slow
	// stream is given three of its own frame intervals, and pictures whose sound goes on
	// are given stillPicture.
	InputLoss time.Duration
	// MaxJitter is the longest gap of input in bursts that is put up with; 0: none is.
	MaxJitter time.Duration
	// Recovery is how long a preferred leg must be whole before it is gone back to.
	Recovery time.Duration
	// Generation counts the versions of the policy, where two servers play the pair and
	// may for a moment have different ones.
	Generation int64
	// Rules is the version of the rules in force: see Accord.rules. The pair sets it.
	Rules int
}

// preferred is the leg the policy leans to; none for Sticky.
func (p Policy) preferred() Role {
	if p.Select == "" && p.Mode == PreferPrimary {
		return Primary
	}
	return p.Select
}

// A Reason says why the active leg changed or did not. It is published in status,
// events, metrics and to players, so its values are API.
type Reason string

// The reasons.
const (
	ReasonNoLiveStream        Reason = "NoLiveStream"
	ReasonStarted             Reason = "Started"
	ReasonPrimaryStarted      Reason = "PrimaryStarted"
	ReasonPrimaryInputLost    Reason = "PrimaryInputLost"
	ReasonBackupInputLost     Reason = "BackupInputLost"
	ReasonPrimaryDisconnected Reason = "PrimaryDisconnected"
	ReasonBackupDisconnected  Reason = "BackupDisconnected"
	ReasonPrimaryDegraded     Reason = "PrimaryDegraded"
	ReasonBackupDegraded      Reason = "BackupDegraded"
	ReasonPrimaryRecovered    Reason = "PrimaryRecovered"
	ReasonSelected            Reason = "Selected"
	ReasonFollowedPeer        Reason = "FollowedPeer"
	ReasonPrimaryDraining     Reason = "PrimaryDraining"
	ReasonBackupDraining      Reason = "BackupDraining"
)

// Urgency says how a switch is made.
type Urgency string

// The urgencies.
const (
	// Planned: the old leg stays on until the new leg's next IDR.
	Planned Urgency = "planned"
	// Urgent: the picture is gone; take the new leg's last IDR out of its cache.
	Urgent Urgency = "urgent"
)

// State is what a decision depends on beside the legs. It changes only by Observe and
// Switched.
type State struct {
	// Active is the leg on air; none before the first picture. It stays while both
	// legs are lost.
	Active Role
	// Reason and Since, on the media clock, tell of the last switch.
	Reason Reason
	Since  time.Duration
	// FirstPicture is when the pair first had one.
	FirstPicture time.Duration
	// Switches counts changes from one leg to the other.
	Switches int

	// primaryFull and backupFull are since when each leg is whole, see Legs.isWhole; 0: it is
	// not.
	primaryFull, backupFull time.Duration
	// lastFailover, and how many followed each other within dampingWindow.
	lastFailover time.Duration
	inSuccession int
	// lastPlanned is when the last planned switch was made, and lastFollowed when the last
	// one was to the leg that the peer plays.
	lastPlanned, lastFollowed time.Duration
	// obeyed is the pin that was last carried out.
	obeyed Role
	// overruled says that somebody wanted the backup on: that it came before the
	// primary is then no reason to leave it.
	overruled bool

	// doubt says what has happened since the pair last agreed with its peer, and doubtSince
	// when. heldUntil and resumed are when the server was last held up, and when it was for
	// so long that its connections have ended. See doubt.go.
	doubt                          Doubt
	doubtSince, heldUntil, resumed time.Duration
}

func (s State) fullSince(r Role) time.Duration {
	if r == Backup {
		return s.backupFull
	}
	return s.primaryFull
}

// Observe notes since when each leg has been whole, and whether the pin is obeyed.
func (s State) Observe(p Policy, legs Legs, now time.Duration) State {
	since := func(r Role, was time.Duration) time.Duration {
		switch {
		case !legs.isWhole(r, p, now):
			return 0
		case was == 0:
			return now
		}
		return was
	}
	s.primaryFull = since(Primary, s.primaryFull)
	s.backupFull = since(Backup, s.backupFull)
	if p.Select == "" || p.Select == s.Active {
		s.obeyed = p.Select
	}
	s.overruled = s.overruled || p.Select == Backup
	if s.Active != "" && legs.Leg(s.Active).Rank(p, now) == RankNone {
		s = s.doubting(Interrupted, now)
	}
	return s
}

// Switched is the state after d was carried out at now.
func (s State) Switched(d Decision, now time.Duration) State {
	if s.FirstPicture == 0 {
		s.FirstPicture = now
	}
	if s.Active != "" && d.Active != s.Active {
		s.Switches++
	}
	if d.Urgency == Urgent && s.Active != "" {
		if s.lastFailover != 0 && now-s.lastFailover < dampingWindow {
			s.inSuccession++
		} else {
			s.inSuccession = 0
		}
		s.lastFailover = now
		s = s.afterFailover(now)
	}
	if d.Urgency == Planned {
		s.lastPlanned = now
		if d.Reason == ReasonFollowedPeer {
			s.lastFollowed = now
		}
	}
	s.Active, s.Reason, s.Since = d.Active, d.Reason, now
	return s
}

// returnAt is when a leg that the policy prefers may be gone back to if it stays whole.
func (s State) returnAt(p Policy, r Role) time.Duration {
	at := s.fullSince(r) + s.recovery(p)
	if s.lastPlanned != 0 {
		at = max(at, s.lastPlanned+returnInterval)
	}
	return at
}

// recovery is how long the preferred leg must be whole, damped: each failover
// within 10 minutes of the last doubles it.
func (s State) recovery(p Policy) time.Duration {
	if s.inSuccession == 0 {
		return p.Recovery
	}
	r := max(p.Recovery, minDoubled)
	for range s.inSuccession {
		if r *= 2; r >= maxRecovery {
			return max(maxRecovery, p.Recovery)
		}
	}
	return r
}

// A Decision is what should be on air.
type Decision struct {
	// Active is the leg that should be on air; none before anything is live.
	Active Role
	Reason Reason
	// Urgency is empty when nothing changes.
	Urgency Urgency
	// Recheck is the earliest time at which the decision could change by waiting
	// alone; 0 when it cannot.
	Recheck time.Duration
}

// Decide returns the leg that should be on air at now.
//
// It is pure: the same policy, legs and state give the same answer, so the one branch
// that may take the picture from viewers is tested without a clock. It never chooses a
// leg of lower rank than the other's, and of equal ones leaves that whose server is about
// to end.
func Decide(p Policy, legs Legs, s State, now time.Duration) Decision {
	d := Decision{Active: s.Active, Reason: s.Reason}
	d.Recheck = earliest(legs.Primary.nextChange(p, now), legs.Backup.nextChange(p, now))
	if s.Active == "" {
		return begin(p, legs, d, now)
	}
	to := s.Active.Other()
	active, other := legs.Leg(s.Active), legs.Leg(to)
	if !other.canEnter(p, now) {
		return d
	}
	activeRank, otherRank := active.Rank(p, now), other.Rank(p, now)
	switch {
	case activeRank < otherRank:
		return d.leave(p, legs, s, now)
	case activeRank > otherRank, other.Leaving && !active.Leaving:
		return d
	case active.Leaving && !other.Leaving:
		return d.to(to, drainReason(s.Active), Planned)
	}
	if d, chosen := d.steadier(p, legs, s, now); chosen {
		return d
	}
	switch {
	case s.primaryIsLate():
		return d.to(Primary, ReasonPrimaryStarted, Planned)
	case p.preferred() != to:
		return d
	case p.Select == to && s.obeyed != to:
		return d.to(to, ReasonSelected, Planned)
	case s.fullSince(to) == 0:
		return d
	}
	if at := s.returnAt(p, to); now < at {
		d.Recheck = earliest(d.Recheck, at)
		return d
	}
	if p.Select != "" {
		return d.to(to, ReasonSelected, Planned)
	}
	return d.to(Primary, ReasonPrimaryRecovered, Planned)
}

// primaryIsLate says whether the backup took the place only because the primary was not
// there yet.
func (s State) primaryIsLate() bool {
	return s.Active == Backup && s.Switches == 0 && !s.overruled &&
		s.primaryFull > s.FirstPicture && s.primaryFull <= s.FirstPicture+startupWindow
}

// begin chooses the first leg: the one of higher rank, the pinned one or else the
// primary if they are equal.
func begin(p Policy, legs Legs, d Decision, now time.Duration) Decision {
	d.Reason = ReasonNoLiveStream
	rank := func(l Leg) Rank {
		if !l.canEnter(p, now) {
			return RankNone
		}
		return l.Rank(p, now)
	}
	primary, backup := rank(legs.Primary), rank(legs.Backup)
	switch {
	case primary == RankNone && backup == RankNone:
		return d
	case backup > primary, backup == primary && p.Select == Backup:
		return d.to(Backup, ReasonStarted, Urgent)
	}
	return d.to(Primary, ReasonStarted, Urgent)
}

func (d Decision) to(r Role, why Reason, u Urgency) Decision {
	d.Active, d.Reason, d.Urgency = r, why, u
	return d
}

// lossReason says what happened to the leg of role r that is being left.
func (l Leg) lossReason(r Role, p Policy, now time.Duration) Reason {
	disconnected, lost, degraded := ReasonPrimaryDisconnected, ReasonPrimaryInputLost, ReasonPrimaryDegraded
	if r == Backup {
		disconnected, lost, degraded = ReasonBackupDisconnected, ReasonBackupInputLost, ReasonBackupDegraded
	}
	p = l.tolerant(p)
	rank := l.Rank(p, now)
	switch {
	case !l.Publishing:
		return disconnected
	// Audio that fell silent with the picture counts as live for a moment longer.
	case rank == RankNone, rank == RankAudioOnly && l.Audio.LastArrival < l.Video.LastArrival+p.InputLoss/2:
		return lost
	}
	return degraded
}

// drainReason says that the leg of role r is left because its server is about to end.
func drainReason(r Role) Reason {
	if r == Backup {
		return ReasonBackupDraining
	}
	return ReasonPrimaryDraining
}
