package failover

import "time"

const (
	// settling is how long both legs must be whole before two servers that play
	// different ones take that for more than the moment of a switch.
	settling = 2 * time.Second
	// adoptWithin is how long after its start a pair waits to hear what its peer plays, so
	// that viewers of a server that has just started are not switched a moment later.
	adoptWithin = time.Second
	// followInterval is the least time between two switches to the peer's leg that nobody
	// asked for, so that a leg which comes by a relay that keeps failing does not go on and
	// off air with it.
	followInterval = 30 * time.Second
)

// A Standing is how a pair stands at one of the two media servers that play it, as that
// server tells the other. Its times are on the media clock of whoever reads it; only
// their order counts, and both must see the same: they are moved from clock to clock
// without rounding.
type Standing struct {
	// Active is the leg that is or was last on air, and Since when it was put there.
	Active Role
	OnAir  bool
	Since  time.Duration
	// SwitchingTo is the leg of a switch that waits for an IDR.
	SwitchingTo Role
	// FirstPicture is when the pair first had one, 0 before. Final says that it is no
	// longer by chance that a pair plays the backup: a primary that comes late does not
	// get its place.
	FirstPicture time.Duration
	Final        bool
	// Preferred is the leg that the policy leans to, and Generation counts policies: that
	// of the newer one is right.
	Preferred  Role
	Generation int64
	// Settled says that both legs have been whole for some time.
	Settled bool
	// Leaving says that the server is about to end. Its own pair does not know.
	Leaving bool
	// Rules is the version of the rules that the server decides by; 0: those of before
	// there were versions.
	Rules int
	// Doubt says what has happened to the server since it last agreed with its peer.
	Doubt Doubt
}

// intent is the leg that is about to be on air.
func (s Standing) intent() Role {
	if s.SwitchingTo != "" {
		return s.SwitchingTo
	}
	return s.Active
}

// HasLeft says that viewers there play the other leg, and that no switch to r is planned.
func (s Standing) HasLeft(r Role) bool {
	return s.OnAir && s.Active == r.Other() && s.intent() != r
}

// An Accord is what two media servers that play the same pair need to agree. Its zero
// value is for a server without a peer.
type Accord struct {
	// HasPeer says that there is to be another server; Began is when the pair began here.
	HasPeer bool
	Began   time.Duration
	// Peer is how the pair stands there; nil: that is not known.
	Peer *Standing
	// Heard is when the peer last said so, on the media clock here; 0: never.
	Heard time.Duration
}

// Agree is what becomes of decision d at now where another server plays the pair too.
//
// Neither server commands the other: both compare the same two standings and come to
// the same leg, and the one that plays the other leg makes a planned switch. A picture
// is never taken away for the sake of agreement: both legs must be whole, at both
// servers.
func Agree(p Policy, legs Legs, s State, a Accord, d Decision, now time.Duration) Decision {
	switch {
	case !a.HasPeer:
		return d
	case s.Active == "":
		return a.begin(p, legs, d, now)
	case d.Urgency == Planned && a.overrules(p, legs, s):
		return Decision{Active: s.Active, Reason: s.Reason, Recheck: d.Recheck}
	case d.Urgency == Urgent && a.mustListen(s, d.Active, now):
		return Decision{Active: s.Active, Reason: s.Reason, Recheck: earliest(d.Recheck, s.resumed+adoptWithin)}
	case d.Urgency != "":
		return d
	}
	full := s.bothFullSince()
	if full == 0 {
		return d
	}
	if now < full+settling {
		d.Recheck = earliest(d.Recheck, full+settling)
		return d
	}
	if a.Peer == nil || a.Peer.Active == "" || a.Peer.intent() == s.Active || !a.Peer.Settled {
		return d
	}
	here := s.standing(p, "", true)
	to := agreed(here, *a.Peer)
	if to != s.Active.Other() || !legs.Leg(to).canEnter(p, now) || legs.Leg(to).Leaving && !legs.Leg(s.Active).Leaving {
		return d
	}
	if legs.Leg(to).burst(p) > 0 && legs.Leg(s.Active).burst(p) == 0 {
		return d
	}
	asked := here.Generation != a.Peer.Generation || here.Preferred != a.Peer.Preferred
	if at := s.followAt(p, a, to); !asked && now < at {
		d.Recheck = earliest(d.Recheck, at)
		return d
	}
	return d.to(to, ReasonFollowedPeer, Planned)
}

// followAt is when a pair may follow its peer to a leg that nobody has just asked for.
func (s State) followAt(p Policy, a Accord, to Role) time.Duration {
	var at time.Duration
	if s.lastFollowed != 0 {
		at = s.lastFollowed + followInterval
	}
	// A leg that the policy leans to has to recover first, whatever the peer plays: a
	// server that was frozen still plays the leg that its own absence took away here.
	if a.rules() >= rulesDoubt && to == p.preferred() {
		at = max(at, s.bothFullSince()+p.Recovery)
	}
	return at
}

// overrules says whether the policy here, which has a switch planned, is older than that of
// the peer, which is content with what is on air: the switch would soon be taken back. A
// leg whose server ends is left all the same.
func (a Accord) overrules(p Policy, legs Legs, s State) bool {
	return a.Peer != nil && a.Peer.Generation > p.Generation && a.Peer.intent() == s.Active && !legs.Leg(s.Active).Leaving
}

// begin chooses the first leg: the peer's, if it has one on air that can be played here.
func (a Accord) begin(p Policy, legs Legs, d Decision, now time.Duration) Decision {
	waiting := now < a.Began+adoptWithin
	known := a.Peer != nil
	if known && (!a.Peer.OnAir || a.Peer.Active == "") {
		return d // its choice is as open as ours, or not one that this version knows
	}
	if known {
		to := a.Peer.Active
		leg := legs.Leg(to)
		if d.Active == to {
			return d
		}
		if leg.canEnter(p, now) && leg.Rank(p, now) >= legs.Leg(to.Other()).Rank(p, now) {
			return d.to(to, ReasonFollowedPeer, Urgent)
		}
	}
	if waiting {
		return Decision{Reason: ReasonNoLiveStream, Recheck: earliest(d.Recheck, a.Began+adoptWithin)}
	}
	return d
}

// agreed is the leg that both servers should play: that of the newer policy, the one a
// policy prefers, the one that has been on for longer, the primary. It is the same
// whichever server asks; none when their wishes are at odds, which is for people to solve.
//
// Where no policy prefers a leg, the server with less doubt is right, before all else. How
// long the other's leg has been on says nothing then: that server may have been frozen.
func agreed(a, b Standing) Role {
	doubts := min(a.Rules, b.Rules) >= rulesDoubt && a.Preferred == "" && b.Preferred == ""
	switch {
	case a.Active == b.Active:
		return a.Active
	case doubts && a.Doubt < b.Doubt:
		return a.Active
	case doubts && b.Doubt < a.Doubt:
		return b.Active
	case a.Generation > b.Generation:
		return a.Active
	case a.Generation < b.Generation:
		return b.Active
	case a.Preferred != "" && b.Preferred != "" && a.Preferred != b.Preferred:
		return ""
	case a.Preferred != "":
		return a.Preferred
	case b.Preferred != "":
		return b.Preferred
	case a.Since < b.Since:
		return a.Active
	case b.Since < a.Since:
		return b.Active
	}
	return Primary
}

// bothFullSince is since when both legs have been whole, and so of the same rank; 0: they are
// not.
func (s State) bothFullSince() time.Duration {
	if s.primaryFull == 0 || s.backupFull == 0 {
		return 0
	}
	return max(s.primaryFull, s.backupFull)
}

// settled says whether both legs have been whole for some time.
func (s State) settled(now time.Duration) bool {
	full := s.bothFullSince()
	return full != 0 && now >= full+settling
}

// standing is what the peer is told, but for what is on air.
func (s State) standing(p Policy, switchingTo Role, settled bool) Standing {
	return Standing{
		Active: s.Active, Since: s.Since, SwitchingTo: switchingTo,
		FirstPicture: s.FirstPicture, Final: s.Switches > 0 || s.overruled,
		Preferred: p.preferred(), Generation: p.Generation, Settled: settled,
		Rules: Rules, Doubt: s.doubt,
	}
}

// adopted is the state of a pair that has just begun, where that is with its peer on air:
// the pair's first picture was the peer's, and a pin that the peer has too is no new one.
// It has yet to hear that its peer plays the same.
func (s State) adopted(p Policy, peer *Standing) State {
	s = s.doubting(Interrupted, s.Since)
	if peer == nil || !peer.OnAir {
		return s
	}
	if peer.FirstPicture != 0 {
		s.FirstPicture = min(s.FirstPicture, peer.FirstPicture)
	}
	if peer.Generation == p.Generation && peer.Preferred == p.Select {
		s.obeyed = p.Select
	}
	return s.heeding(peer)
}

// heeding is the state of a pair whose peer plays the same leg: if it is not by chance
// there, it is not here.
func (s State) heeding(peer *Standing) State {
	if peer != nil && peer.OnAir && peer.Active == s.Active {
		s.overruled = s.overruled || peer.Final
	}
	return s
}

// SetPeer says how the pair stands at the other server that plays it; nil: it cannot be
// heard. The Standing must not be changed any more.
func (p *Pair) SetPeer(peer *Standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer == p.peer {
		return
	}
	if peer != nil {
		p.peerHeard = p.now()
	}
	if peer != nil && p.peer != nil && *peer == *p.peer {
		p.peer = peer
		return
	}
	p.peer = peer
	p.notify()
	p.look()
}

// Standing returns how the pair stands here and at its peer (nil: it cannot be heard),
// and a channel that is closed when either changes.
func (p *Pair) Standing() (here Standing, there *Standing, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing, p.peer, p.changed
}

// accord is what is known of the peer.
func (p *Pair) accord() Accord {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Accord{
		HasPeer: (p.cfg.HasPeer || p.peer != nil) && len(p.legs) > 1, Began: p.began,
		Peer: p.peer, Heard: p.peerHeard,
	}
}
