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

	"github.com/streampair/streampair/mediaserver/signalling"
)

const (
	// handshakeTimeout is how long a client may take to prove who it is.
	handshakeTimeout = 5 * time.Second
	// maxHandshake is how many bytes it may send for that. A certificate has some 1,000.
	maxHandshake = 64 << 10
	// maxHandshakes is how many handshakes there are at a time, and as many of addresses
	// that are known to be the peer's. Beyond that the oldest of the address with the most
	// has to go.
	maxHandshakes = 64
	// maxConnections bounds the connections of the peer: most are event streams that it
	// forwards, at most 4096, and its requests about the sessions that they belong to.
	maxConnections = 8192
	// maxKept is the buffer that a connection keeps between writes, in bytes.
	maxKept = 80 << 10
	// acceptRetry is how long the listener waits after an error, such as one of too many
	// open files.
	acceptRetry = 50 * time.Millisecond
)

// ListenerConfig configures a Listener.
type ListenerConfig struct {
	// TLS is what Identity.ServerConfig returns. Required.
	TLS *tls.Config
	// IsPeer reports whether an address is known to be the peer's: its handshakes have
	// places of their own, which strangers cannot take. Default: none is known.
	IsPeer func(netip.Addr) bool
	// Proved is called with the address of each client that has proved who it is. Default:
	// nobody wants to know.
	Proved func(netip.Addr)
	// Refused is called for each client that is refused, with one of the reasons. It may be
	// called from several goroutines. Default: nobody wants to know.
	Refused func(from net.Addr, reason string, err error)
}

// A Listener is a TCP listener that returns the connections of the pair's other server, and
// no others: the handshake is over when Accept returns. It never waits for a client that
// has not proved who it is.
type Listener struct {
	net.Listener
	cfg         ListenerConfig
	proved      chan net.Conn
	closed      <-chan struct{}
	close       func() error
	running     sync.WaitGroup
	connections atomic.Int64

	mu     sync.Mutex // guards the places
	places [2]*signalling.Places[*handshake]
}

// Listen makes l a Listener. It must be closed.
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
	p := &Listener{Listener: l, cfg: cfg, proved: make(chan net.Conn)}
	ctx, stop := context.WithCancel(context.Background()) // until Close
	p.closed = ctx.Done()
	p.close = sync.OnceValue(func() error {
		stop()
		err := l.Close()
		p.running.Wait()
		return err
	})
	for i := range p.places {
		p.places[i] = signalling.NewPlaces[*handshake](maxHandshakes, maxHandshakes)
	}
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

// Close ends the port and all handshakes. Connections that Accept returned stay.
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

// A handshake is a client that has not proved yet who it is, and later the connection below
// its TLS.
type handshake struct {
	net.Conn
	host  string
	since time.Time
	left  int // bytes that it may still send; below 0: any number

	mu     sync.Mutex // guards the next two
	holds  bool       // what is written is held back
	unsent []byte
}

func (h *handshake) Host() string     { return h.host }
func (h *handshake) Since() time.Time { return h.since }

var errTooLong = errors.New("the handshake is too long")

// Read reads no more than a handshake needs. The handshake alone calls it until it is over,
// and then the connection's reader alone.
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

// Write writes b, or holds it back for send.
func (h *handshake) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holds {
		h.unsent = append(h.unsent, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// hold holds back what is written until send.
func (h *handshake) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = true
}

// send sends what was held back.
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
	h := &handshake{Conn: c, host: signalling.HostOf(remote.String()), since: time.Now(), left: maxHandshake}
	address, err := netip.ParseAddrPort(remote.String())
	known := 0
	if err == nil && l.cfg.IsPeer(address.Addr().Unmap()) {
		known = 1
	}
	l.mu.Lock()
	out, ok := l.places[known].Take(h)
	l.mu.Unlock()
	if out != nil {
		_ = out.Close() // which ends its handshake
	}
	if !ok {
		_ = c.Close()
		l.cfg.Refused(remote, ReasonFull, errors.New("there are too many handshakes"))
		return
	}
	l.running.Go(func() {
		proved := tls.Server(h, l.cfg.TLS)
		limited, stop := context.WithTimeout(ctx, handshakeTimeout)
		err := proved.HandshakeContext(limited)
		stop()
		l.mu.Lock()
		l.places[known].Leave(h)
		l.mu.Unlock()
		if err != nil {
			_ = c.Close()
			l.cfg.Refused(remote, reasonOf(err), err)
			return
		}
		h.left = -1
		l.cfg.Proved(address.Addr().Unmap())
		l.hand(proved, h)
	})
}

// reasonOf is the reason for which a handshake failed.
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

// hand gives a connection to Accept.
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

// A provedConn is a connection of the pair's other server. It hides the *tls.Conn, for which
// net/http would look for a protocol of the negotiated name.
type provedConn struct {
	net.Conn
	below   *handshake
	release func()
}

// Write sends all records of b by one system call: a large picture has several. It is for
// one goroutine at a time, as net/http uses it.
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
