package srt

import "time"

// Limits bound what callers may cost. A zero field means its default.
type Limits struct {
	// MaxConnections bounds the connections; default 256. MaxPerNetwork bounds those of one network;
	// default a quarter of them.
	MaxConnections, MaxPerNetwork int
	// MaxHandshakes bounds the handshakes that are being answered; default 64.
	MaxHandshakes int
	// A network may send HandshakeRate handshakes with a good cookie a second, and a burst of twice
	// as many; all networks together fifty times as many. Default 20.
	HandshakeRate int
	// Backlog bounds the datagrams of a connection that wait; default 512.
	Backlog int
	// MinLatency and MaxLatency bound the latency that a caller chooses; defaults 120 ms, which is what
	// libsrt's receivers have, and 5 s.
	MinLatency, MaxLatency time.Duration
	// PeerTimeout is how long a caller may send nothing at all; default 5 s.
	PeerTimeout time.Duration
	// IdleTimeout is how long a caller may send no media; default 30 s. It only cleans up: viewers have
	// long been switched to the other leg.
	IdleTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt(&l.MaxConnections, 256)
	orInt(&l.MaxPerNetwork, max(1, l.MaxConnections/4))
	orInt(&l.MaxHandshakes, 64)
	orInt(&l.HandshakeRate, 20)
	orInt(&l.Backlog, 512)
	orDuration(&l.MinLatency, 120*time.Millisecond)
	orDuration(&l.MaxLatency, 5*time.Second)
	orDuration(&l.PeerTimeout, 5*time.Second)
	orDuration(&l.IdleTimeout, 30*time.Second)
	return l
}
