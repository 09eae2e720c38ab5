package server

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// maxConnections of each HTTP port, and as many of the peers: idle ones cost descriptors
// that media need too.
const maxConnections = 8192

// A boundedListener closes connections beyond maxConnections at once. The peers have places
// of their own: however many viewers come, the relay must not wait for one of them to go.
type boundedListener struct {
	net.Listener
	isPeer           func(netip.Addr) bool
	max              int64
	strangers, peers atomic.Int64
}

func bounded(l net.Listener, isPeer func(netip.Addr) bool) *boundedListener {
	return &boundedListener{Listener: l, isPeer: isPeer, max: maxConnections}
}

// Accept returns the next connection for which there is a place.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		places := &l.strangers
		if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && l.isPeer(a.Addr()) {
			places = &l.peers
		}
		if places.Add(1) > l.max {
			places.Add(-1)
			_ = c.Close()
			continue
		}
		return &boundedConn{Conn: c, release: sync.OnceFunc(func() { places.Add(-1) })}, nil
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// isPeer says whether an address is one of the other leg's servers.
func (s *Server) isPeer(a netip.Addr) bool { return s.peers != nil && s.peers.Includes(a) }
