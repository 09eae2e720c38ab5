package mediatest

import (
	"net"
	"sync"
)

// A Gate is a way to a TCP server that can be cut, in the two ways that networks have: a
// reset, and a hole in which everything vanishes.
type Gate struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards all below
	to     string     // address behind the gate; empty: nothing
	hole   bool
	conns  map[net.Conn]struct{}
	opened int
}

// NewGate opens a gate on a free loopback port until the test ends. It leads nowhere
// before LeadTo.
func NewGate(t TB) *Gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open a gate: %v", err)
	}
	g := &Gate{listener: l, conns: make(map[net.Conn]struct{})}
	g.running.Go(g.accept)
	t.Cleanup(func() {
		_ = l.Close()
		g.Reset()
		g.running.Wait()
	})
	return g
}

// Addr is where the gate can be entered.
func (g *Gate) Addr() string { return g.listener.Addr().String() }

// LeadTo says what is behind the gate, host:port.
func (g *Gate) LeadTo(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = address
}

// Swallow makes all that is sent through the gate vanish, both ways, or ends that. What
// vanished does not come again.
func (g *Gate) Swallow(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hole = on
}

// Reset ends all connections.
func (g *Gate) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(g.conns)
}

// Close ends all connections and refuses new ones, until LeadTo.
func (g *Gate) Close() {
	g.LeadTo("")
	g.Reset()
}

// Opened is how many connections there have been.
func (g *Gate) Opened() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

func (g *Gate) accept() {
	for {
		in, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		to := g.to
		g.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		g.mu.Lock()
		g.opened++
		g.conns[in], g.conns[out] = struct{}{}, struct{}{}
		g.mu.Unlock()
		g.running.Go(func() { g.copy(out, in) })
		g.running.Go(func() { g.copy(in, out) })
	}
}

func (g *Gate) copy(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		g.mu.Lock()
		lost := g.hole
		g.mu.Unlock()
		if lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
