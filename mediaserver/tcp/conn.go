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
	// UnsentBytes is how many bytes may wait in the kernel before they are sent. While there
	// are more, a write waits. 0: as many as the send buffer takes.
	UnsentBytes int
	// UserTimeout is how long the peer may acknowledge nothing, or keep its window shut,
	// while bytes wait. The kernel then resets the connection. It must be whole milliseconds.
	// 0: the kernel's retries decide, which takes a quarter of an hour.
	UserTimeout time.Duration
}

// DefaultLimits returns the limits for connections to viewers, encoders and other strangers.
func DefaultLimits() Limits { return Limits{UnsentBytes: 128 << 10, UserTimeout: 10 * time.Second} }

// A Conn is a TCP connection with Limits that counts what is written.
type Conn struct {
	net.Conn
	raw     syscall.RawConn // nil: the connection is no socket
	written atomic.Int64
}

// Limit returns c with limits. A limit that the kernel refuses is left out, so that an
// old kernel serves viewers as before.
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

// SetLimits replaces the limits. On a nil Conn it does nothing.
func (c *Conn) SetLimits(l Limits) {
	if c != nil && c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) { setLimits(int(fd), l) })
	}
}

// Write writes b and counts it. A write that misses its deadline aborts the
// connection: a part of b may have been written, so nothing can follow. Otherwise
// crypto/tls would try to send a close alert for 5 s more.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Abort()
	}
	return n, err
}

// Sent returns how many of the written bytes have left the kernel, acknowledged or
// not, and how many were written. Both are 0 for a nil Conn.
func (c *Conn) Sent() (sent, written int64) {
	if c == nil {
		return 0, 0
	}
	// This order matters: a byte that is written meanwhile must not look sent.
	written = c.written.Load()
	if c.raw == nil {
		return written, written
	}
	var waiting int64
	_ = c.raw.Control(func(fd uintptr) { waiting = unsent(int(fd)) })
	return max(0, written-waiting), written
}

// Abort resets the connection. The kernel drops the waiting bytes at once. After Close it would go
// on offering them to a peer that does not read. On a nil Conn Abort does nothing.
func (c *Conn) Abort() {
	if c == nil {
		return
	}
	if l, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Conn.Close()
}

// A listener adds limits to another listener's connections.
type listener struct {
	net.Listener
	limits Limits
}

// NewListener returns a listener whose connections are Conns with the limits.
func NewListener(l net.Listener, limits Limits) net.Listener { return listener{l, limits} }

// Accept returns the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Limit(c, l.limits), nil
}

// From returns the Conn inside c, or nil if there is none. c may be wrapped in
// connections that have a NetConn method, like tls.Conn.
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

// ConnContext is for http.Server. With it, FromContext finds the Conn of a request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, From(c))
}

// FromContext returns the Conn of a request's context, or nil if there is none.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}
