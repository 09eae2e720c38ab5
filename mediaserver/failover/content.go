package failover

import "time"

// Content is what is wrong with the content of a leg whose media arrives: with its picture, its
// sound, or its rates. Each is a difference from the other leg; see package content. The zero value
// is a leg without such a fault, or a leg that nobody measures.
type Content struct {
	Black, Frozen, Silent, LowBitrate, LowFrameRate bool
}

// rank returns the highest rank that a leg with this content can have.
func (c Content) rank() Rank {
	switch {
	case c.Black, c.Frozen:
		return RankBlackOrFrozen
	case c.Silent:
		return RankSilentSound
	case c.LowBitrate, c.LowFrameRate:
		return RankLowRate
	}
	return RankFull
}

// reason returns why the leg of role r, which has this content, is left.
func (c Content) reason(r Role) Reason {
	reasons := map[Role][4]Reason{
		Primary: {ReasonPrimaryBlack, ReasonPrimaryFrozen, ReasonPrimarySilent, ReasonPrimaryLowRate},
		Backup:  {ReasonBackupBlack, ReasonBackupFrozen, ReasonBackupSilent, ReasonBackupLowRate},
	}[r]
	switch {
	case c.Black:
		return reasons[0]
	case c.Frozen:
		return reasons[1]
	case c.Silent:
		return reasons[2]
	}
	return reasons[3]
}

// isOfContent reports whether a switch for this reason left a leg because of its content.
func (r Reason) isOfContent() bool {
	switch r {
	case ReasonPrimaryBlack, ReasonPrimaryFrozen, ReasonPrimarySilent, ReasonPrimaryLowRate,
		ReasonBackupBlack, ReasonBackupFrozen, ReasonBackupSilent, ReasonBackupLowRate:
		return true
	}
	return false
}

// heedsContent reports whether faults of the content count. A person's choice comes first: with
// Select or Manual they do not count.
func (p Policy) heedsContent() bool {
	return p.ContentFailover && p.Select == "" && p.Mode != Manual && p.Rules >= rulesContent
}

// leaveForContent decides about an active leg that ranks lower only because of its content. Its
// media arrives, so the switch waits for the other leg's next IDR. It also waits for some time
// after the last planned switch, as a return to the preferred leg does, unless the leg's server is
// about to end.
func (d Decision) leaveForContent(legs Legs, s State, now time.Duration) Decision {
	to := s.Active.Other()
	ends := legs.Leg(s.Active).Leaving
	if legs.Leg(to).Leaving && !ends {
		return d
	}
	if at := s.lastPlanned + returnInterval; s.lastPlanned != 0 && now < at && !ends {
		d.Recheck = earliest(d.Recheck, at)
		return d
	}
	return d.to(to, legs.Leg(s.Active).Content.reason(s.Active), Planned)
}

// SetContent tells the pair what is wrong with the content of each leg.
func (p *Pair) SetContent(primary, backup Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	content := [2]Content{primary, backup}
	if content == p.content {
		return
	}
	p.content = content
	p.wakeUp()
}

// withContent returns the legs with what is wrong with their content.
func (p *Pair) withContent(l Legs) Legs {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.Primary.Content, l.Backup.Content = p.content[0], p.content[1]
	return l
}
