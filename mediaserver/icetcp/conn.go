package icetcp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/tcp"
)

const (
	// queueBytes is how many bytes may wait for the kernel. A viewer is served again as soon as
	// there is room, so little is enough. A line of 100 Mbit/s takes this much in 2.6 ms.
	queueBytes = 32 << 10
	// controlBytes is the extra room for frames that are not media. Without answers to its checks
	// an agent gives up the connection, even if the media would come through.
	controlBytes = 4 << 10
	// closeLimit is how long queued frames may take after Close, such as a DTLS close alert.
	closeLimit = time.Second
	// lengthBytes is the size of the length before each frame (RFC 4571 section 2).
	lengthBytes = 2
)

// errQueueFull is returned when a frame is dropped because the peer reads too slowly.
var errQueueFull = errors.New("the peer reads too slowly: its queue is full")

// A Conn is a connection to an ICE agent. It is safe for concurrent use.
type Conn struct {
	net.Conn   // an *admission.Conn
	listener   *Listener
	place      *admission.Place
	remoteAddr net.Addr
	remote     netip.AddrPort // remoteAddr as AddrPort
	since      time.Time

	mu      sync.Mutex // guards the rest
	queue   []byte     // whole frames
	spare   []byte     // memory for the next queue
	due     time.Duration
	backlog *tcp.Backlog
	onRoom  func()
	// writing reports whether a goroutine is writing. writingSince is since when the frames
	// that the goroutine writes were due.
	writing         bool
	writingSince    time.Duration
	closing, failed bool
}

func newConn(accepted *admission.Conn, l *Listener) *Conn {
	c := &Conn{
		Conn: accepted, listener: l, place: accepted.Place(), remoteAddr: accepted.RemoteAddr(), since: time.Now(),
		backlog: tcp.NewBacklog(tcp.From(accepted)),
	}
	c.remote = addrPort(c.remoteAddr)
	// The mux finds a session by the remote address's family and the local address. A
	// proxy may report a client address of the other family.
	if c.remote.Addr().Is4() != addrPort(accepted.LocalAddr()).Addr().Is4() {
		c.remoteAddr = accepted.NetConn().RemoteAddr()
		c.remote = addrPort(c.remoteAddr)
	}
	return c
}

// addrPort returns the address of a TCP connection, or the zero value for other connections.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(t.AddrPort())
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// RemoteAddr returns the client's address, or that of the proxy before it.
func (c *Conn) RemoteAddr() net.Addr { return c.remoteAddr }

// HasRoom reports whether a frame of media may be written. If not, then is called once
// when there is room, on another goroutine. then must not block.
func (c *Conn) HasRoom(then func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) < queueBytes || c.failed {
		return true
	}
	c.onRoom = then
	return false
}

// Waiting returns how long the oldest byte that the kernel has not sent has waited.
func (c *Conn) Waiting() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.since)
	if c.writing { // bytes in the kernel have waited only a little longer
		return now - c.writingSince
	}
	return now - c.backlog.Due(now)
}

// Write queues one frame: a length of two bytes, and a packet (RFC 4571 section 2). It never
// blocks. It drops a frame for which there is no room, and returns an error.
func (c *Conn) Write(frame []byte) (int, error) {
	room := queueBytes
	if !isMedia(frame) {
		room += controlBytes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing || c.failed:
		return 0, io.ErrClosedPipe
	case len(c.queue) >= room:
		return 0, errQueueFull
	case len(c.queue) == 0:
		c.due = time.Since(c.since)
	}
	c.queue = append(c.queue, frame...)
	if !c.writing {
		c.writing, c.writingSince = true, c.due
		go c.flush()
	}
	return len(frame), nil
}

// isMedia reports whether a frame holds RTP (RFC 7983 section 7, RFC 5761 section 4).
func isMedia(frame []byte) bool {
	const first, second = lengthBytes, lengthBytes + 1
	if len(frame) <= second || frame[first] < 128 || frame[first] > 191 {
		return false
	}
	isRTCP := frame[second] >= 192 && frame[second] <= 223
	return !isRTCP
}

// flush writes the queue until it is empty.
func (c *Conn) flush() {
	var wrote error
	for {
		frames := c.next(wrote)
		if frames == nil {
			return
		}
		_, wrote = c.Conn.Write(frames)
	}
}

// next returns the frames to write next, or nil if there are none. wrote is the error
// of the write before.
func (c *Conn) next(wrote error) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backlog.Mark(time.Since(c.since))
	if c.onRoom != nil {
		c.onRoom()
		c.onRoom = nil
	}
	// A part of a frame may have been written, so nothing can follow.
	c.failed = c.failed || wrote != nil
	if len(c.queue) == 0 || c.failed {
		c.writing = false
		if c.closing || c.failed {
			_ = c.Conn.Close() // the reader gets an error
		}
		return nil
	}
	frames := c.queue
	c.queue, c.spare, c.writingSince = c.spare[:0], frames, c.due
	return frames
}

// Close closes the connection. Queued frames still have closeLimit.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	c.closing = true
	c.listener.forget(c)
	if !c.writing {
		return c.Conn.Close()
	}
	now := time.Now()
	return errors.Join(c.Conn.SetReadDeadline(now), c.Conn.SetWriteDeadline(now.Add(closeLimit)))
}

// SetReadDeadline implements net.Conn. After Close it does nothing.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.unlessClosing(c.Conn.SetReadDeadline, t) }

// SetWriteDeadline implements net.Conn. After Close it does nothing.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.unlessClosing(c.Conn.SetWriteDeadline, t)
}

// SetDeadline implements net.Conn. After Close it does nothing.
func (c *Conn) SetDeadline(t time.Time) error { return c.unlessClosing(c.Conn.SetDeadline, t) }

func (c *Conn) unlessClosing(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	return set(t)
}

// hold makes the connection keep its place. On a nil Conn it does nothing.
func (c *Conn) hold() {
	if c != nil {
		c.place.Hold()
	}
}

// release undoes hold.
func (c *Conn) release() {
	if c != nil {
		c.place.Release()
	}
}
