package rtmp

import (
	"net"
	"sync"
)

// A handover is the net.Listener from which go-rtmp takes the connections that were
// admitted: its own accept loop spins on errors and knows no limits.
type handover struct {
	conns chan handedOver
	done  chan struct{}
	once  sync.Once
}

// handedOver is a socket with its connection.
type handedOver struct {
	net.Conn
	connection *connection
}

func newHandover() *handover {
	return &handover{conns: make(chan handedOver), done: make(chan struct{})}
}

// put hands c over; false says that nobody takes it any more.
func (h *handover) put(conn net.Conn, c *connection) bool {
	select {
	case h.conns <- handedOver{conn, c}:
		return true
	case <-h.done:
		return false
	}
}

// Accept returns the next connection, or net.ErrClosed.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and put return.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr is of no address.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
