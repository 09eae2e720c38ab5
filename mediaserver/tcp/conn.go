package tcp

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits bound one connection. The zero value sets no limits.
type Limits struct {
	// UnsentBytes is how many bytes may wait in the kernel that were not sent yet. A
	// write waits while there are more. 0: as many as the send buffer takes.
	UnsentBytes int
	// UserTimeout is how long the peer may acknowledge nothing, or keep its window shut,
	// while bytes wait. The kernel then resets the connection. Unit: whole milliseconds.
	// 0: the kernel's retries decide, which takes a quarter of an hour.
	UserTimeout time.Duration
}

// DefaultLimits are for connections to viewers, encoders and other strangers.
func DefaultLimits() Limits { return Limits{UnsentBytes: 128 << 10, UserTimeout: 10 * time.Second} }

// A Conn is a TCP connection with Limits that counts what is written.
type Conn struct {
	net.Conn
	raw     syscall.RawConn // nil: the connection is no socket
	written atomic.Int64
}

// Limit returns c with limits. Limits that the kernel refuses are left out: an old kernel
// serves viewers as it did before.
func Limit(c net.Conn, l Limits) *Conn {
	limited := &Conn{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			limited.raw = raw
		}
	}
	limited.SetLimits(l)
	return limited
}

// SetLimits replaces the limits. A nil Conn has none.
func (c *Conn) SetLimits(l Limits) {
	if c != nil && c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) { setLimits(int(fd), l) })
	}
}

// Write writes b and counts it. A write that misses its deadline aborts the connection: a
// part of b may be out, so nothing can follow. Without that, crypto/tls would try for 5 s
// more to say goodbye.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Abort()
	}
	return n, err
}

// Sent returns how many of the written bytes have left the kernel, acknowledged or not,
// and how many were written. A nil Conn has sent and written nothing.
func (c *Conn) Sent() (sent, written int64) {
	if c == nil {
		return 0, 0
	}
	// In this order: a byte that is written meanwhile must not look sent.
	written = c.written.Load()
	if c.raw == nil {
		return written, written
	}
	var waiting int64
	_ = c.raw.Control(func(fd uintptr) { waiting = unsent(int(fd)) })
	return max(0, written-waiting), written
}

// Abort resets the connection. The kernel drops what waits at once, while after Close it
// goes on offering that to a peer that does not read. A nil Conn is left alone.
func (c *Conn) Abort() {
	if c == nil {
		return
	}
	if l, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Conn.Close()
}

// A listener limits the connections of another.
type listener struct {
	net.Listener
	limits Limits
}

// NewListener returns l, whose connections are Conns with the limits.
func NewListener(l net.Listener, limits Limits) net.Listener { return listener{l, limits} }

// Accept returns the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Limit(c, l.limits), nil
}

// From returns the Conn inside c, which may be wrapped in others that have a NetConn
// method as tls.Conn does; nil: there is none.
func From(c net.Conn) *Conn {
	for {
		switch inner := c.(type) {
		case *Conn:
			return inner
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return nil
		}
	}
}

type contextKey struct{}

// ConnContext is for http.Server: with it FromContext finds the Conn of a request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, From(c))
}

// FromContext returns the Conn of a request's context; nil: there is none.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}
