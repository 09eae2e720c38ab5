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

// limits of each connection. The queue holds as much again, so the kernel keeps little.
var limits = tcp.Limits{UnsentBytes: 32 << 10, UserTimeout: 10 * time.Second}

// Config configures a Listener.
type Config struct {
	// Places is the number of connections. Required.
	Places int
	// Proxies may tell by the PROXY protocol whom they speak for. Default: nobody may.
	Proxies *admission.Proxies
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Listener accepts connections of ICE agents. Each is a [*Conn].
type Listener struct {
	*admission.Listener
	door *admission.Door

	mu    sync.Mutex // guards the next line
	conns map[netip.AddrPort]*Conn
}

// NewListener returns a Listener of what l accepts. It must be closed.
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

// Find returns the connection from an address; nil: there is none.
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

// A Selection keeps the place of the connection that one session's media take. It is safe for
// concurrent use.
type Selection struct {
	listener *Listener

	mu   sync.Mutex // guards the next line
	held *Conn
}

// NewSelection returns the Selection of a session that is not connected yet.
func (l *Listener) NewSelection() *Selection { return &Selection{listener: l} }

// Select says where the session's media go from now on. The zero value means that they do not
// go over TCP. The connection before loses its right to stay: a session has one.
func (s *Selection) Select(remote netip.AddrPort) {
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
