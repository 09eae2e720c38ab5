package admission

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

const (
	// ProxyIdle is how long a connection of a trusted proxy may be idle. The load balancers of
	// clouds keep idle connections for up to 600 s, and may use one at the very end. The server
	// must not have closed it by then.
	ProxyIdle = 650 * time.Second
	// proxyHeaderTimeout is how long a trusted proxy may take for the rest of a PROXY header.
	proxyHeaderTimeout = 5 * time.Second
	// proxyHeaderPeek is how many bytes are read ahead to detect a PROXY header.
	proxyHeaderPeek = 256
	// acceptPause is the wait after a failed accept. When the process has no file descriptors left,
	// an immediate retry only uses a core for nothing.
	acceptPause = 50 * time.Millisecond
	// sweepInterval is how often idle connections are ended.
	sweepInterval = time.Second
)

// ListenerConfig configures a Listener.
type ListenerConfig struct {
	// Door has the places of the connections; nil: the server that accepts them decides.
	Door *Door
	// SeparateDoor returns the door for an address that has places of its own, such as the pair's
	// other server; nil: the address has none. Default: no address has.
	SeparateDoor func(netip.Addr) *Door
	// Proxies may begin a connection with a PROXY header, version 1 or 2, which tells the client's
	// address. Default: nobody may.
	Proxies *Proxies
	// MaxProxyConnections bounds the connections of trusted proxies; default 8192. These
	// connections take no places of others, and none is ended for another.
	MaxProxyConnections int
	// Metrics has the counters. Default: nothing is counted.
	Metrics *metrics.Metrics
	// Refused counts the connections for which the Door had no place, in addition to the Door's own
	// count. Default: they are not counted here.
	Refused prometheus.Counter
	// Name is the listener's name in metrics if it has no Door.
	Name string
}

// A Listener accepts the connections that its Door admits. Each is a [*Conn]. Its remote address is
// the client's, even if a proxy told the address by the PROXY protocol. The Listener survives
// passing errors of the underlying Accept, such as a lack of file descriptors.
type Listener struct {
	net.Listener
	cfg     ListenerConfig
	proxies *Door
	conns   chan *Conn
	closing sync.Once
	closed  chan struct{}
}

// NewListener returns a Listener on top of l. It must be closed.
func NewListener(l net.Listener, cfg ListenerConfig) *Listener {
	if cfg.MaxProxyConnections == 0 {
		cfg.MaxProxyConnections = 8192
	}
	if cfg.Door != nil {
		cfg.Name = cfg.Door.cfg.Name
	}
	a := &Listener{
		Listener: l, cfg: cfg, conns: make(chan *Conn), closed: make(chan struct{}),
		proxies: NewDoor(DoorConfig{Name: cfg.Name + "_proxies", Limits: Limits{Max: cfg.MaxProxyConnections}, Metrics: cfg.Metrics}),
	}
	go a.run()
	if cfg.Door != nil && cfg.Door.cfg.IdleLimit > 0 {
		go a.sweep()
	}
	return a
}

// Accept returns the next *Conn. An error means that the listener was closed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close stops accepting. It also closes the connections of trusted proxies that have sent nothing yet.
// All connections that were accepted stay open, so that a server that is about to end can answer them.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.closing.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
		l.proxies.Close()
	})
	return err
}

func (l *Listener) run() {
	for {
		c, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			_ = l.Close()
			return
		case err != nil:
			select {
			case <-time.After(acceptPause):
			case <-l.closed:
				return
			}
			continue
		}
		from := AddressOf(c.RemoteAddr().String())
		if l.cfg.Proxies.Trusts(from) {
			l.acceptProxy(c)
			continue
		}
		l.admit(&Conn{Conn: c}, from)
	}
}

func (l *Listener) sweep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			l.cfg.Door.EndIdle(now)
		case <-l.closed:
			return
		}
	}
}

// admit hands c over if there is a place for c. Otherwise it closes c.
func (l *Listener) admit(c *Conn, from netip.Addr) {
	door := l.cfg.Door
	if l.cfg.SeparateDoor != nil {
		if separate := l.cfg.SeparateDoor(from); separate != nil {
			door = separate
		}
	}
	if door != nil {
		place, err := door.Enter(NetworkOf(from), func() { _ = c.Conn.Close() })
		if err != nil {
			if l.cfg.Refused != nil {
				l.cfg.Refused.Inc()
			}
			_ = c.Conn.Close()
			return
		}
		c.place = place
	}
	l.handOver(c)
}

func (l *Listener) handOver(c *Conn) {
	select {
	case l.conns <- c:
	case <-l.closed:
		_ = c.Close()
	}
}

// acceptProxy takes a connection of a trusted proxy. Only its first bytes tell whether it is the
// proxy's own or a client's. A goroutine waits for these bytes, so that no other connection has to.
func (l *Listener) acceptProxy(raw net.Conn) {
	var accepted atomic.Bool
	place, err := l.proxies.Enter(netip.Prefix{}, func() {
		if !accepted.Load() {
			_ = raw.Close()
		}
	})
	if err != nil {
		_ = raw.Close()
		return
	}
	place.Hold()
	c := &Conn{Conn: raw, reader: bufio.NewReaderSize(raw, proxyHeaderPeek), place: place}
	go func() {
		client, err := c.readHeader()
		switch {
		case err != nil:
			if l.cfg.Metrics != nil && !errors.Is(err, net.ErrClosed) {
				l.cfg.Metrics.AdmissionRefusals.WithLabelValues(l.cfg.Name, "proxy_header").Inc()
			}
			_ = c.Close()
		case client == nil || l.cfg.Proxies.Trusts(AddressOf(client.String())):
			accepted.Store(true)
			l.handOver(c)
		default:
			place.Leave()
			c.place, c.remote = nil, client
			l.admit(c, AddressOf(client.String()))
		}
	}()
}

// A Conn is a connection that has a place.
type Conn struct {
	net.Conn
	remote net.Addr      // address in the PROXY header; nil: the connection's own address counts
	reader *bufio.Reader // data that was read ahead; nil: none
	place  *Place        // nil: there is no Door
}

// readHeader waits for the first bytes, and returns the client that a PROXY header names. It
// returns nil if there is no header, or if the header names nobody, as in a proxy's own health
// check.
func (c *Conn) readHeader() (net.Addr, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(ProxyIdle)); err != nil {
		return nil, err
	}
	if _, err := c.reader.Peek(1); err != nil {
		return nil, err
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(proxyHeaderTimeout)); err != nil {
		return nil, err
	}
	header, err := proxyproto.Read(c.reader)
	if err != nil && !errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return nil, err
	}
	if err := c.Conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if header == nil || header.Command.IsLocal() {
		return nil, nil
	}
	source, _, ok := header.TCPAddrs()
	if !ok {
		return nil, nil
	}
	return source, nil
}

// Read returns the data that was read ahead, and then reads from the connection.
func (c *Conn) Read(b []byte) (int, error) {
	if c.reader != nil {
		if c.reader.Buffered() > 0 {
			return c.reader.Read(b)
		}
		c.reader = nil
	}
	return c.Conn.Read(b)
}

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// NetConn returns the connection below, for its socket options.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Place returns the connection's place; nil: the Listener has no Door.
func (c *Conn) Place() *Place { return c.place }

// CloseWrite closes the server's direction, if the connection supports that.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	if c.place != nil {
		defer c.place.Leave()
	}
	return c.Conn.Close()
}
