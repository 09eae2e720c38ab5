package pairtls

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
)

const (
	// handshakeTimeout is how long a client may take to prove its identity.
	handshakeTimeout = 5 * time.Second
	// maxHandshake is how many bytes a client may send for its handshake. A certificate has some
	// 1,000.
	maxHandshake = 64 << 10
	// maxHandshakes is how many handshakes run at a time. Addresses that are known to be the peer's
	// have as many places again. Beyond that, the oldest handshake of the address with the most
	// handshakes is ended.
	maxHandshakes = 64
	// maxConnections bounds the connections of the peer. Most are event streams that the peer
	// forwards, at most 4096, and its requests about the sessions of these streams.
	maxConnections = 8192
	// maxKept bounds the buffer that a connection keeps between writes, in bytes.
	maxKept = 80 << 10
	// acceptRetry is how long the listener waits after an error, such as one of too many open
	// files.
	acceptRetry = 50 * time.Millisecond
)

// ListenerConfig configures a Listener.
type ListenerConfig struct {
	// TLS is the result of Identity.ServerConfig. Required.
	TLS *tls.Config
	// IsPeer reports whether an address is known to be the peer's. Handshakes of such addresses
	// have places of their own, which strangers cannot take. Default: no address is known.
	IsPeer func(netip.Addr) bool
	// Proved is called with the address of each client that has proved its identity. Default:
	// nothing is called.
	Proved func(netip.Addr)
	// Refused is called for each client that is refused, with one of the reasons. It may be called
	// from several goroutines. Default: nothing is called.
	Refused func(from net.Addr, reason string, err error)
}

// A Listener is a TCP listener that returns only connections of the pair's other server. The
// handshake is over when Accept returns. Accept never waits for a client that has not proved its
// identity.
type Listener struct {
	net.Listener
	cfg         ListenerConfig
	proved      chan net.Conn
	closed      <-chan struct{}
	close       func() error
	running     sync.WaitGroup
	connections atomic.Int64

	// strangers has the places of handshakes, and known those of the addresses of IsPeer.
	strangers, known *admission.Door
}

// Listen returns a Listener on top of l. It must be closed.
func Listen(l net.Listener, cfg ListenerConfig) *Listener {
	if cfg.IsPeer == nil {
		cfg.IsPeer = func(netip.Addr) bool { return false }
	}
	if cfg.Proved == nil {
		cfg.Proved = func(netip.Addr) {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func(net.Addr, string, error) {}
	}
	limits := admission.Limits{Max: maxHandshakes, MaxLeaving: maxHandshakes}
	p := &Listener{
		Listener: l, cfg: cfg, proved: make(chan net.Conn),
		strangers: admission.NewDoor(admission.DoorConfig{Name: "handshakes", Limits: limits}),
		known:     admission.NewDoor(admission.DoorConfig{Name: "handshakes", Limits: limits}),
	}
	ctx, stop := context.WithCancel(context.Background()) // until Close
	p.closed = ctx.Done()
	p.close = sync.OnceValue(func() error {
		stop()
		err := l.Close()
		p.running.Wait()
		return err
	})
	p.running.Go(func() { p.accept(ctx) })
	return p
}

// Accept returns the next connection of the pair's other server, or net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.proved:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the port and ends all handshakes. Connections that Accept returned stay open.
func (l *Listener) Close() error { return l.close() }

func (l *Listener) accept(ctx context.Context) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			l.begin(ctx, c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-l.closed:
				return
			case <-time.After(acceptRetry):
			}
		}
	}
}

// A handshake is the connection of a client that has yet to prove its identity. Later it is the
// connection below the client's TLS.
type handshake struct {
	net.Conn
	left int // bytes that the client may still send; negative: any number

	mu     sync.Mutex // guards holds and unsent
	holds  bool       // whether written data is held back
	unsent []byte
}

var errTooLong = errors.New("the handshake is too long")

// Read reads no more than a handshake needs. Only the handshake calls Read until the handshake is
// over. After that, only the connection's reader calls Read.
func (h *handshake) Read(b []byte) (int, error) {
	if h.left == 0 {
		return 0, errTooLong
	}
	if h.left > 0 {
		b = b[:min(len(b), h.left)]
	}
	n, err := h.Conn.Read(b)
	if h.left > 0 {
		h.left -= n
	}
	return n, err
}

// Write writes b, or holds it back until send.
func (h *handshake) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holds {
		h.unsent = append(h.unsent, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// hold makes Write hold data back until send.
func (h *handshake) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = true
}

// send sends the data that was held back.
func (h *handshake) send() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = false
	if len(h.unsent) == 0 {
		return nil
	}
	_, err := h.Conn.Write(h.unsent)
	h.unsent = h.unsent[:0]
	if cap(h.unsent) > maxKept {
		h.unsent = nil
	}
	return err
}

// begin gives a client a place and starts its handshake.
func (l *Listener) begin(ctx context.Context, c net.Conn) {
	remote := c.RemoteAddr()
	h := &handshake{Conn: c, left: maxHandshake}
	address := admission.AddressOf(remote.String())
	door := l.strangers
	if address.IsValid() && l.cfg.IsPeer(address) {
		door = l.known
	}
	place, err := door.Enter(admission.NetworkOf(address), func() { _ = c.Close() }) // which ends the handshake
	if err != nil {
		_ = c.Close()
		l.cfg.Refused(remote, ReasonFull, errors.New("there are too many handshakes"))
		return
	}
	l.running.Go(func() {
		proved := tls.Server(h, l.cfg.TLS)
		limited, stop := context.WithTimeout(ctx, handshakeTimeout)
		err := proved.HandshakeContext(limited)
		stop()
		place.Leave()
		if err != nil {
			_ = c.Close()
			l.cfg.Refused(remote, reasonOf(err), err)
			return
		}
		h.left = -1
		l.cfg.Proved(address)
		l.hand(proved, h)
	})
}

// reasonOf returns the reason why a handshake failed.
func reasonOf(err error) string {
	var refusal *Refusal
	var network net.Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case errors.As(err, &network) && network.Timeout():
		return ReasonTimeout
	}
	return ReasonProtocol
}

// hand passes a connection to Accept.
func (l *Listener) hand(c *tls.Conn, below *handshake) {
	if l.connections.Add(1) > maxConnections {
		l.connections.Add(-1)
		_ = c.Close()
		l.cfg.Refused(c.RemoteAddr(), ReasonFull, errors.New("the peer has too many connections"))
		return
	}
	counted := &provedConn{Conn: c, below: below, release: sync.OnceFunc(func() { l.connections.Add(-1) })}
	select {
	case l.proved <- counted:
	case <-l.closed:
		_ = counted.Close()
	}
}

// A provedConn is a connection of the pair's other server. It hides the *tls.Conn: net/http would
// look for a protocol with the negotiated name.
type provedConn struct {
	net.Conn
	below   *handshake
	release func()
}

// Write sends all records of b by one system call: a large picture has several. It is for one
// goroutine at a time, as net/http uses it.
func (c *provedConn) Write(b []byte) (int, error) {
	c.below.hold()
	n, err := c.Conn.Write(b)
	if unsent := c.below.send(); err == nil && unsent != nil {
		n, err = 0, unsent
	}
	return n, err
}

// Close ends the connection.
func (c *provedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
