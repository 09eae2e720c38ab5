package admission

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

const (
	// ProxyIdle is how long a connection of a trusted proxy may be idle. The load balancers of
	// clouds keep theirs for up to 600 s, and use one at the very end: it must not have been
	// closed by then.
	ProxyIdle = 650 * time.Second
	// proxyHeaderTimeout is how long a trusted proxy may take for a PROXY header that it has
	// begun.
	proxyHeaderTimeout = 5 * time.Second
	// proxyHeaderPeek is as much as is read ahead to see whether there is a PROXY header.
	proxyHeaderPeek = 256
	// acceptPause is the wait after a failed accept. When the process is out of file
	// descriptors, trying again at once only burns a core.
	acceptPause = 50 * time.Millisecond
	// sweepInterval is how often idle connections are looked at.
	sweepInterval = time.Second
)

// ListenerConfig configures a Listener.
type ListenerConfig struct {
	// Door has the places of the connections; nil: whoever accepts them decides.
	Door *Door
	// Apart returns the door of those who have places of their own, such as the pair's other
	// server; nil: the address is nobody's. Default: there is nobody.
	Apart func(netip.Addr) *Door
	// Proxies are those who may begin a connection with a PROXY header, version 1 or 2, which
	// tells the client's address. Default: nobody.
	Proxies *Proxies
	// MaxProxyConnections bounds the connections of trusted proxies; default 8192. They do not
	// take the places of others, and none of them is ended for another.
	MaxProxyConnections int
	// Metrics; default: nothing is counted.
	Metrics *metrics.Metrics
	// Refused counts connections for which the Door had no place, beside the Door's own count;
	// default: nothing does.
	Refused prometheus.Counter
	// Name is the listener's in metrics where it has no Door.
	Name string
}

// A Listener accepts the connections that its Door admits. Each is a [*Conn], whose remote
// address is the client's, also where a proxy told it by the PROXY protocol. Errors of the
// underlying Accept that pass by are survived: out of file descriptors, for one.
type Listener struct {
	net.Listener
	cfg     ListenerConfig
	proxies *Door
	conns   chan *Conn
	closing sync.Once
	closed  chan struct{}
}

// NewListener returns a Listener of what l accepts. It must be closed.
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

// Close stops accepting. The connections that were accepted go on.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.closing.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
		l.proxies.Close() // those whose header is still awaited
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
			l.meetProxy(c)
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

// admit hands c over if there is a place for it, else closes it.
func (l *Listener) admit(c *Conn, from netip.Addr) {
	door := l.cfg.Door
	if l.cfg.Apart != nil {
		if apart := l.cfg.Apart(from); apart != nil {
			door = apart
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

// meetProxy takes a connection of a trusted proxy. Only what it sends first tells whether that
// speaks for itself or for a client, so nobody waits for it here.
func (l *Listener) meetProxy(raw net.Conn) {
	place, err := l.proxies.Enter(netip.Prefix{}, func() { _ = raw.Close() })
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
			l.handOver(c)
		default:
			place.Leave()
			c.place, c.remote = nil, client
			l.admit(c, AddressOf(client.String()))
		}
	}()
}

// A Conn is a connection with its place.
type Conn struct {
	net.Conn
	remote net.Addr      // that the PROXY header told; nil: it is the connection's own
	reader *bufio.Reader // what was read ahead; nil: nothing
	place  *Place        // nil: there is no door
}

// readHeader waits for the first bytes, and returns the client that a PROXY header names; nil:
// there is no header, or it names nobody, as in a proxy's own check.
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

// Read reads what was read ahead, and then from the connection.
func (c *Conn) Read(b []byte) (int, error) {
	if c.reader != nil {
		if c.reader.Buffered() > 0 {
			return c.reader.Read(b)
		}
		c.reader = nil
	}
	return c.Conn.Read(b)
}

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// NetConn is the connection below, for its socket options.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Place is the connection's place; nil where the Listener has no Door.
func (c *Conn) Place() *Place { return c.place }

// CloseWrite ends the server's direction, where the connection can.
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
