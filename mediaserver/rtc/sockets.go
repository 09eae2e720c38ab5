package rtc

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/stdnet"
)

// A senderSockets has the UDP sockets of the engine once more, by address, for one fanout. All are
// the same sockets to the kernel, which sends on one socket from several cores at a time. To Go each
// is a file of its own: a net.UDPConn has a lock that lets one goroutine send at a time.
type senderSockets struct {
	byAddress map[netip.Addr]*net.UDPConn
}

// openSenders opens the sockets of as many fanouts as there are cores.
func (e *Engine) openSenders() (err error) {
	if e.interfaces, err = stdnet.NewNet(); err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	for range runtime.GOMAXPROCS(0) {
		s := &senderSockets{byAddress: make(map[netip.Addr]*net.UDPConn, len(e.udp))}
		e.senders = append(e.senders, s)
		for _, conn := range e.udp {
			again, err := duplicate(conn)
			if err != nil {
				return fmt.Errorf("listen for WebRTC on %s: %w", conn.LocalAddr(), err)
			}
			s.byAddress[localAddress(conn).Addr()] = again
		}
	}
	return nil
}

// duplicate returns another file of a socket.
func duplicate(conn *net.UDPConn) (*net.UDPConn, error) {
	file, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	again, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return again.(*net.UDPConn), nil
}

func (e *Engine) closeSenders() {
	for _, s := range e.senders {
		for _, conn := range s.byAddress {
			_ = conn.Close()
		}
	}
}

// routeOf returns the route of a selected pair of candidates. It returns nil if the pair is of
// ICE-TCP, or if the engine does not listen on the local candidate's address.
func (s *senderSockets) routeOf(local, remote ice.Candidate) *route {
	if remote.NetworkType().IsTCP() {
		return nil
	}
	conn, to := s.byAddress[addressOf(local).Addr()], addressOf(remote)
	if conn == nil || !to.IsValid() {
		return nil
	}
	return &route{conn, to}
}
