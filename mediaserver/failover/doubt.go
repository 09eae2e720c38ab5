package failover

import "time"

// This file has the rules for a server that may have missed a failover of its peer. Such a server
// was frozen, starved or cut off. It still plays the leg that its own absence took from the viewers
// of its peer. It must not pull the peer back to that leg.

// A Doubt says what has happened to a server since it last agreed with its peer about the
// active leg. Of two servers that play different legs, the one with less doubt is right.
// Unlike times, doubts can be compared whatever the servers' clocks say.
type Doubt int

// The doubts, least first. The peer is told their numbers.
const (
	// Certain: nothing has happened. The server runs, and the leg has been on air without a break.
	Certain Doubt = iota
	// FailedOver: the server has lost the other leg, which the peer may still have.
	FailedOver
	// Interrupted: the server was held up, had nothing on air, or has just begun. The peer may have
	// failed over meanwhile.
	Interrupted
)

const (
	// reconnectTime is how long a server that was held up takes to restore its connections. A leg
	// that is lost within that time may be lost to this server alone.
	reconnectTime = 5 * time.Second
	// connectionsEnd is the silence after which connections to a peer have ended. Package relay
	// waits as long for a sign of life.
	connectionsEnd = 2 * time.Second
)

// mustWaitForPeer reports whether a failover to r must wait for the peer. The server has just
// resumed, so its connections to the peer may not be restored. A leg may seem lost for that reason
// alone. The failover does not wait if the peer says that it plays r.
func (v PeerView) mustWaitForPeer(s State, r Role, now time.Duration) bool {
	if v.rules() < rulesDoubt || s.resumed == 0 || now >= s.resumed+peerWait {
		return false
	}
	heard := v.Peer != nil && v.Heard > s.resumed
	return !heard || !v.Peer.OnAir || v.Peer.Active != r
}

// withDoubt returns the state with the doubt what, which arose at now.
func (s State) withDoubt(what Doubt, now time.Duration) State {
	s.doubt, s.doubtSince = what, now
	return s
}

// afterPause returns the state of a pair whose server was held up from since until now, so long
// that its peer may have failed over.
func (s State) afterPause(since, now time.Duration) State {
	s.heldUntil = now
	if now-since >= connectionsEnd {
		s.resumed = now
	}
	return s.withDoubt(Interrupted, now)
}

// afterFailover returns the state of a pair that lost its active leg and switched at now. A loss
// right after the server was held up says nothing about the leg, and leaves the doubt as it is.
func (s State) afterFailover(now time.Duration) State {
	if s.heldUntil != 0 && now < s.heldUntil+reconnectTime {
		return s
	}
	return s.withDoubt(FailedOver, now)
}

// withoutDoubtIfAgreed returns the state without doubt if the peer says that it plays the same leg;
// else the state as it is. The peer must have said so some time after the doubt arose. An earlier
// message may have waited in a buffer while this server was held up.
func (s State) withoutDoubtIfAgreed(v PeerView) State {
	agrees := v.Peer != nil && v.Peer.OnAir && v.Peer.Active == s.Active
	if agrees && v.Heard >= s.doubtSince+settleTime {
		s.doubt = Certain
	}
	return s
}
