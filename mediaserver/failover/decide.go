package failover

import "time"

const (
	// startupWindow is how late a primary may be, after the pair's first picture, and still be put on
	// air in place of the backup. The backup must be on air only because the primary was late.
	startupWindow = 10 * time.Second
	// dampingWindow: a failover within this time of the previous failover doubles the recovery
	// time. The doubled time is at least twice minDoubled and at most maxRecovery.
	dampingWindow = 10 * time.Minute
	minDoubled    = time.Second
	maxRecovery   = 10 * time.Minute
	// returnInterval is the least time from a planned switch to a return to the preferred leg.
	// Without it, a leg that keeps failing and a short recovery time would switch viewers back and
	// forth.
	returnInterval = time.Minute
)

// A Mode says which leg a pair goes back to.
type Mode string

// The modes.
const (
	// Sticky stays with the leg that is on air.
	Sticky Mode = "Sticky"
	// PreferPrimary goes back to the primary once it has recovered.
	PreferPrimary Mode = "PreferPrimary"
	// Manual leaves the leg on air only when its media is lost, or when a person says so.
	Manual Mode = "Manual"
)

// A Policy is how a pair's owner wants it to behave.
type Policy struct {
	Mode Mode
	// Select pins a leg; the zero value leaves the choice to Mode.
	Select Role
	// InputLoss is how long a track may be silent before it counts as lost. A slow track may be
	// silent for three of its own frame intervals. Pictures may stay away for stillPicture while
	// sound goes on.
	InputLoss time.Duration
	// MaxJitter is the longest gap that is tolerated in input that comes in bursts; 0: no gap is.
	MaxJitter time.Duration
	// ContentFailover reports whether faults of the content lower a leg's rank.
	ContentFailover bool
	// Recovery is how long a preferred leg must be whole before the pair returns to it.
	Recovery time.Duration
	// Generation counts the versions of the policy. Two servers that play the pair may have
	// different versions for a moment.
	Generation int64
	// Rules is the version of the rules in force: see PeerView.rules. The pair sets it.
	Rules int
}

// preferred returns the leg that the policy prefers; none for Sticky.
func (p Policy) preferred() Role {
	if p.Select == "" && p.Mode == PreferPrimary {
		return Primary
	}
	return p.Select
}

// A Reason says why the active leg changed or did not change. It is published in status, events,
// metrics and to players, so its values are API.
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
	ReasonPrimaryBlack        Reason = "PrimaryBlack"
	ReasonBackupBlack         Reason = "BackupBlack"
	ReasonPrimaryFrozen       Reason = "PrimaryFrozen"
	ReasonBackupFrozen        Reason = "BackupFrozen"
	ReasonPrimarySilent       Reason = "PrimarySilent"
	ReasonBackupSilent        Reason = "BackupSilent"
	ReasonPrimaryLowRate      Reason = "PrimaryLowRate"
	ReasonBackupLowRate       Reason = "BackupLowRate"
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
	// Planned: the old leg stays on air until the new leg's next IDR.
	Planned Urgency = "planned"
	// Urgent: viewers have lost the picture; begin with the new leg's last IDR, out of its cache.
	Urgent Urgency = "urgent"
)

// State is everything beside the legs that a decision depends on. It is a value: Observe, Switched
// and the methods about peers and doubts return a changed State.
type State struct {
	// Active is the leg on air; none before the first picture. It does not change while both legs
	// are lost.
	Active Role
	// Reason is the reason of the last switch, and Since its time on the media clock.
	Reason Reason
	Since  time.Duration
	// FirstPicture is when the pair first had a picture; 0: it has had none.
	FirstPicture time.Duration
	// Switches counts changes from one leg to the other.
	Switches int

	// primaryWhole and backupFull are since when each leg has been whole, see Legs.isWhole; 0: the
	// leg is not whole.
	primaryWhole, backupWhole time.Duration
	// lastFailover is when the last failover was made. inSuccession counts the failovers before it
	// that followed each other within dampingWindow.
	lastFailover      time.Duration
	repeatedFailovers int
	// lastPlanned is when the last planned switch was made. lastFollowed is when the last planned
	// switch to the peer's leg was made.
	lastPlanned, lastFollowed time.Duration
	// lastPinned is the pinned leg that was last put on air.
	lastPinned Role
	// backupWanted reports whether somebody wanted the backup on air, here or at the peer. The rule
	// for a late primary (see primaryIsLate) then no longer applies.
	backupWanted bool

	// doubt is what has happened since the pair last agreed with its peer, and doubtSince is when
	// that happened. heldUntil is when the last pause of a held-up server ended. resumed is the
	// same for the last pause that was long enough to end the server's connections. See doubt.go.
	doubt                          Doubt
	doubtSince, heldUntil, resumed time.Duration
}

func (s State) wholeSince(r Role) time.Duration {
	if r == Backup {
		return s.backupWhole
	}
	return s.primaryWhole
}

// Observe returns the state after a look at the legs: it notes since when each leg has been whole,
// and whether the pinned leg is on air.
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
	s.primaryWhole = since(Primary, s.primaryWhole)
	s.backupWhole = since(Backup, s.backupWhole)
	if p.Select == "" || p.Select == s.Active {
		s.lastPinned = p.Select
	}
	s.backupWanted = s.backupWanted || p.Select == Backup
	if s.Active != "" && legs.Leg(s.Active).Rank(p, now) == RankNone {
		s = s.withDoubt(Interrupted, now)
	}
	return s
}

// Switched returns the state after d was carried out at now.
func (s State) Switched(d Decision, now time.Duration) State {
	if s.FirstPicture == 0 {
		s.FirstPicture = now
	}
	if s.Active != "" && d.Active != s.Active {
		s.Switches++
	}
	if isFailover := d.Urgency == Urgent && s.Active != ""; isFailover || d.Reason.isOfContent() {
		if s.lastFailover != 0 && now-s.lastFailover < dampingWindow {
			s.repeatedFailovers++
		} else {
			s.repeatedFailovers = 0
		}
		s.lastFailover = now
		if isFailover {
			s = s.afterFailover(now)
		}
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

// returnAt returns when the pair may return to the preferred leg r, if r stays whole.
func (s State) returnAt(p Policy, r Role) time.Duration {
	at := s.wholeSince(r) + s.recovery(p)
	if s.lastPlanned != 0 {
		at = max(at, s.lastPlanned+returnInterval)
	}
	return at
}

// recovery returns how long the preferred leg must be whole. Each failover within dampingWindow of
// the previous one doubles the time.
func (s State) recovery(p Policy) time.Duration {
	if s.repeatedFailovers == 0 {
		return p.Recovery
	}
	r := max(p.Recovery, minDoubled)
	for range s.repeatedFailovers {
		if r *= 2; r >= maxRecovery {
			return max(maxRecovery, p.Recovery)
		}
	}
	return r
}

// A Decision says which leg should be on air, why, and how to put it there.
type Decision struct {
	// Active is the leg that should be on air; none before any leg is live.
	Active Role
	Reason Reason
	// Urgency is how the switch is made; empty: there is no switch.
	Urgency Urgency
	// Recheck is the earliest time at which waiting alone could change the decision; 0: waiting
	// changes nothing.
	Recheck time.Duration
}

// Decide returns the leg that should be on air at now.
//
// Decide is pure: the same policy, legs and state give the same answer. So the one branch that may
// take the picture from viewers is tested without a clock. Decide never switches to a leg of lower
// rank. Of two legs of equal rank it leaves the leg whose server is about to end.
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
	case activeRank < otherRank && active.mediaRank(p, now) >= other.mediaRank(p, now):
		return d.leaveForContent(legs, s, now)
	case activeRank < otherRank:
		return d.leave(p, legs, s, now)
	case activeRank > otherRank, other.Leaving && !active.Leaving:
		return d
	case active.Leaving && !other.Leaving:
		return d.to(to, drainReason(s.Active), Planned)
	}
	if p.Mode == Manual {
		if p.Select == to && s.lastPinned != to {
			return d.to(to, ReasonSelected, Planned)
		}
		return d
	}
	if d, chosen := d.steadier(p, legs, s, now); chosen {
		return d
	}
	switch {
	case s.primaryIsLate():
		return d.to(Primary, ReasonPrimaryStarted, Planned)
	case p.preferred() != to:
		return d
	case p.Select == to && s.lastPinned != to:
		return d.to(to, ReasonSelected, Planned)
	case s.wholeSince(to) == 0:
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

// primaryIsLate reports whether the backup is on air only because the primary had not started yet.
func (s State) primaryIsLate() bool {
	return s.Active == Backup && s.Switches == 0 && !s.backupWanted &&
		s.primaryWhole > s.FirstPicture && s.primaryWhole <= s.FirstPicture+startupWindow
}

// begin chooses the first leg: the leg of higher rank. Of two legs of equal rank it chooses the
// pinned leg, or else the primary.
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

// lossReason returns why the leg of role r is being left.
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
	case rank < l.mediaRank(p, now):
		return l.Content.reason(r)
	// Audio that fell silent together with the picture counts as live for a moment longer.
	case rank == RankNone, rank == RankAudioOnly && l.Audio.LastArrival < l.Video.LastArrival+p.InputLoss/2:
		return lost
	}
	return degraded
}

// drainReason returns the reason for leaving the leg of role r because its server is about to end.
func drainReason(r Role) Reason {
	if r == Backup {
		return ReasonBackupDraining
	}
	return ReasonPrimaryDraining
}
