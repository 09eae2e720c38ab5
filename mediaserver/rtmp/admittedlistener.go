package rtmp

import (
	"net"
	"sync"
)

// An admittedListener is the net.Listener from which go-rtmp takes admitted connections.
// go-rtmp's own accept loop spins on errors and has no limits.
type admittedListener struct {
	conns chan handedOver
	done  chan struct{}
	once  sync.Once
}

// handedOver is a socket with its connection.
type handedOver struct {
	net.Conn
	connection *connection
}

func newAdmittedListener() *admittedListener {
	return &admittedListener{conns: make(chan handedOver), done: make(chan struct{})}
}

// put passes c to go-rtmp. It reports false when the listener is closed.
func (l *admittedListener) put(conn net.Conn, c *connection) bool {
	select {
	case l.conns <- handedOver{conn, c}:
		return true
	case <-l.done:
		return false
	}
}

// Accept returns the next connection, or net.ErrClosed.
func (l *admittedListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and put return.
func (l *admittedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr returns an empty address; net.Listener needs the method.
func (l *admittedListener) Addr() net.Addr { return &net.TCPAddr{} }
