package failover

import "time"

const (
	// settleTime is how long both legs must be whole before a difference between the two servers
	// counts. A shorter difference may be no more than the moment of a switch.
	settleTime = 2 * time.Second
	// peerWait is how long a pair that has just begun waits to hear which leg its peer plays.
	// Without the wait, viewers of a new server would be switched a moment after they start.
	peerWait = time.Second
	// followInterval is the least time between two switches to the peer's leg that nobody asked
	// for. Without it, a leg that comes by a relay which keeps failing would go on and off air with
	// the relay.
	followInterval = 30 * time.Second
)

// A Standing is how a pair stands at one of the two media servers that play it. Each server tells
// its Standing to the other. The times are on the media clock of the server that reads them. Both
// servers must see the same order of times, and only the order counts. So times are moved from
// clock to clock without rounding.
type Standing struct {
	// Active is the leg that is or was last on air. Since is when it was put on air.
	Active Role
	OnAir  bool
	Since  time.Duration
	// SwitchingTo is the leg of a switch that waits for an IDR.
	SwitchingTo Role
	// FirstPicture is when the pair first had a picture; 0: it has had none. Final reports whether
	// the leg on air is no longer there by chance. Then a late primary does not take its place.
	FirstPicture time.Duration
	Final        bool
	// Preferred is the leg that the policy prefers. Generation counts policies: the newer policy is
	// right.
	Preferred  Role
	Generation int64
	// Settled reports whether both legs have been whole for some time.
	Settled bool
	// Leaving reports whether the server is about to end. The server's own pair does not know that.
	Leaving bool
	// Rules is the version of the server's decision rules; 0: the rules before there were versions.
	Rules int
	// Doubt is what has happened to the server since it last agreed with its peer.
	Doubt Doubt
}

// intent returns the leg that is about to be on air: the leg that a switch waits for, or else the
// active leg.
func (s Standing) intent() Role {
	if s.SwitchingTo != "" {
		return s.SwitchingTo
	}
	return s.Active
}

// HasLeft reports whether viewers of that server play the other leg and no switch to r is planned.
func (s Standing) HasLeft(r Role) bool {
	return s.OnAir && s.Active == r.Other() && s.intent() != r
}

// A PeerView is what one of two media servers that play the same pair must know to agree with the
// other. The zero value is for a server without a peer.
type PeerView struct {
	// HasPeer reports whether another server plays the pair. Began is when the pair began here.
	HasPeer bool
	Began   time.Duration
	// Peer is how the pair stands at the other server; nil: unknown.
	Peer *Standing
	// Heard is when the peer last told its standing, on this server's media clock; 0: never.
	Heard time.Duration
}

// Agree returns what becomes of decision d at now if another server plays the pair too.
//
// Neither server commands the other. Both compare the same two standings and come to the same leg.
// The server that plays the other leg makes a planned switch. Agreement never takes a picture away:
// both legs must be whole, at both servers.
func Agree(p Policy, legs Legs, s State, v PeerView, d Decision, now time.Duration) Decision {
	switch {
	case !v.HasPeer:
		return d
	case s.Active == "":
		return v.begin(p, legs, d, now)
	case d.Urgency == Planned && v.cancelsSwitch(p, legs, s):
		return Decision{Active: s.Active, Reason: s.Reason, Recheck: d.Recheck}
	case d.Urgency == Urgent && v.mustWaitForPeer(s, d.Active, now):
		return Decision{Active: s.Active, Reason: s.Reason, Recheck: earliest(d.Recheck, s.resumed+peerWait)}
	case d.Urgency != "":
		return d
	}
	full := s.bothWholeSince()
	if full == 0 {
		return d
	}
	if now < full+settleTime {
		d.Recheck = earliest(d.Recheck, full+settleTime)
		return d
	}
	if v.Peer == nil || v.Peer.Active == "" || v.Peer.intent() == s.Active || !v.Peer.Settled {
		return d
	}
	here := s.standing(p, "", true)
	to := agreed(here, *v.Peer)
	if to != s.Active.Other() || !legs.Leg(to).canEnter(p, now) || legs.Leg(to).Leaving && !legs.Leg(s.Active).Leaving {
		return d
	}
	if legs.Leg(to).burst(p) > 0 && legs.Leg(s.Active).burst(p) == 0 {
		return d
	}
	asked := here.Generation != v.Peer.Generation || here.Preferred != v.Peer.Preferred
	if at := s.followAt(p, v, to); !asked && now < at {
		d.Recheck = earliest(d.Recheck, at)
		return d
	}
	return d.to(to, ReasonFollowedPeer, Planned)
}

// followAt returns when a pair may follow its peer to a leg that nobody has just asked for.
func (s State) followAt(p Policy, v PeerView, to Role) time.Duration {
	var at time.Duration
	if s.lastFollowed != 0 {
		at = s.lastFollowed + followInterval
	}
	// A leg that the policy prefers has to recover first, whatever the peer plays. A server that
	// was frozen still plays the leg that its own absence took off air here.
	if v.rules() >= rulesDoubt && to == p.preferred() {
		at = max(at, s.bothWholeSince()+p.Recovery)
	}
	return at
}

// cancelsSwitch reports whether the peer's policy cancels a switch that is planned here: the policy
// here is older, and the peer means to stay on the leg that is on air here. The switch would soon
// be undone. A leg whose server is about to end is left all the same.
func (v PeerView) cancelsSwitch(p Policy, legs Legs, s State) bool {
	return v.Peer != nil && v.Peer.Generation > p.Generation && v.Peer.intent() == s.Active && !legs.Leg(s.Active).Leaving
}

// begin chooses the first leg: the peer's leg, if it is on air there and can be played here.
func (v PeerView) begin(p Policy, legs Legs, d Decision, now time.Duration) Decision {
	waiting := now < v.Began+peerWait
	known := v.Peer != nil
	if known && (!v.Peer.OnAir || v.Peer.Active == "") {
		return d // the peer has not chosen either, or has chosen a leg that this version does not know
	}
	if known {
		to := v.Peer.Active
		leg := legs.Leg(to)
		if d.Active == to {
			return d
		}
		if leg.canEnter(p, now) && leg.Rank(p, now) >= legs.Leg(to.Other()).Rank(p, now) {
			return d.to(to, ReasonFollowedPeer, Urgent)
		}
	}
	if waiting {
		return Decision{Reason: ReasonNoLiveStream, Recheck: earliest(d.Recheck, v.Began+peerWait)}
	}
	return d
}

// agreed returns the leg that both servers should play, whichever server asks. The order is: the
// leg of the newer policy, a leg that a policy prefers, the leg that has been on air for longer, the
// primary. The answer is none if the policies contradict each other: people have to resolve that.
//
// If no policy prefers a leg, the server with less doubt is right, before all else. The time that
// a leg has been on air then says nothing: the other server may have been frozen.
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

// bothWholeSince returns since when both legs have been whole, and so of the same rank; 0: they are
// not both whole.
func (s State) bothWholeSince() time.Duration {
	if s.primaryWhole == 0 || s.backupWhole == 0 {
		return 0
	}
	return max(s.primaryWhole, s.backupWhole)
}

// settled reports whether both legs have been whole for some time.
func (s State) settled(now time.Duration) bool {
	full := s.bothWholeSince()
	return full != 0 && now >= full+settleTime
}

// standing returns what the peer is told. OnAir is left to the caller.
func (s State) standing(p Policy, switchingTo Role, settled bool) Standing {
	return Standing{
		Active: s.Active, Since: s.Since, SwitchingTo: switchingTo,
		FirstPicture: s.FirstPicture, Final: s.Switches > 0 || s.backupWanted,
		Preferred: p.preferred(), Generation: p.Generation, Settled: settled,
		Rules: Rules, Doubt: s.doubt,
	}
}

// startedWithPeer returns the state of a pair that has just begun with a leg on air. If its peer is
// on air, the peer's first picture counts as the pair's. A pin that the peer has too counts as
// carried out. The pair is in doubt until the peer says that it plays the same leg.
func (s State) startedWithPeer(p Policy, peer *Standing) State {
	s = s.withDoubt(Interrupted, s.Since)
	if peer == nil || !peer.OnAir {
		return s
	}
	if peer.FirstPicture != 0 {
		s.FirstPicture = min(s.FirstPicture, peer.FirstPicture)
	}
	if peer.Generation == p.Generation && peer.Preferred == p.Select {
		s.lastPinned = p.Select
	}
	return s.withPeer(peer)
}

// withPeer returns the state of a pair after it hears its peer. If the peer plays the same leg, and
// not by chance (see Standing.Final), then this pair does not play it by chance either.
func (s State) withPeer(peer *Standing) State {
	if peer != nil && peer.OnAir && peer.Active == s.Active {
		s.backupWanted = s.backupWanted || peer.Final
	}
	return s
}

// SetPeer tells the pair how it stands at the other server that plays it; nil: that server cannot
// be heard. The Standing must not be changed afterwards.
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
	p.wakeUp()
}

// Standing returns how the pair stands here and at its peer, and a channel that is closed when
// either changes. A nil there means that the peer cannot be heard.
func (p *Pair) Standing() (here Standing, there *Standing, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing, p.peer, p.changed
}

// peerView returns what is known of the peer.
func (p *Pair) peerView() PeerView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PeerView{
		HasPeer: (p.cfg.HasPeer || p.peer != nil) && len(p.legs) > 1, Began: p.began,
		Peer: p.peer, Heard: p.peerHeard,
	}
}
