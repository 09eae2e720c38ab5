package icetcp

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/tcp"
)

// limits are those of each connection. The queue holds as much again, so the kernel keeps little.
var limits = tcp.Limits{UnsentBytes: 32 << 10, UserTimeout: 10 * time.Second}

// Config configures a Listener.
type Config struct {
	// Places is the number of connections. Required.
	Places int
	// Proxies are the proxies that may name a client by the PROXY protocol. Default: none.
	Proxies *admission.Proxies
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Listener accepts connections of ICE agents. Each is a [*Conn].
type Listener struct {
	*admission.Listener
	door *admission.Door

	mu    sync.Mutex // guards conns
	conns map[netip.AddrPort]*Conn
}

// NewListener returns a Listener for the connections of l. The caller must close it.
func NewListener(l net.Listener, cfg Config) *Listener {
	door := admission.NewDoor(admission.DoorConfig{
		Name: "webrtc_tcp", Metrics: cfg.Metrics,
		Limits: admission.Limits{Max: cfg.Places, MaxLeaving: cfg.Places},
	})
	return &Listener{
		Listener: admission.NewListener(tcp.NewListener(l, limits), admission.ListenerConfig{
			Door: door, Proxies: cfg.Proxies, MaxProxyConnections: cfg.Places, Metrics: cfg.Metrics,
			Refused: cfg.Metrics.WebRTCRefusals.WithLabelValues("too_many"),
		}),
		door:  door,
		conns: make(map[netip.AddrPort]*Conn),
	}
}

// Accept returns the next connection. An error means that the Listener was closed.
func (l *Listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newConn(accepted.(*admission.Conn), l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c.remote] = c
	return c, nil
}

// Find returns the connection from an address, or nil if there is none.
func (l *Listener) Find(remote netip.AddrPort) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[unmap(remote)]
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c.remote] == c {
		delete(l.conns, c.remote)
	}
}

// Close closes the Listener and every connection that came from it.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.door.Close()
	return err
}

// A SessionConn makes the connection that carries one session's media keep its place. It
// is safe for concurrent use.
type SessionConn struct {
	listener *Listener

	mu   sync.Mutex // guards held
	held *Conn
}

// NewSessionConn returns the SessionConn of a session that is not connected yet.
func (l *Listener) NewSessionConn() *SessionConn { return &SessionConn{listener: l} }

// Select sets the address to which the session's media go from now on. The zero value
// means that they do not go over TCP. The connection before no longer keeps its place,
// because a session has only one.
func (s *SessionConn) Select(remote netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var selected *Conn
	if remote.IsValid() {
		selected = s.listener.Find(remote)
	}
	if selected == s.held {
		return
	}
	s.held.release()
	selected.hold()
	s.held = selected
}
