package mediatest

import (
	"net"
	"sync"
)

// A FaultyProxy is a TCP proxy that can fail in the two ways of networks. It can reset
// connections, and it can drop all data while connections stay open.
type FaultyProxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu        sync.Mutex // guards all below
	target    string     // address behind the proxy; empty: none
	blackhole bool
	conns     map[net.Conn]struct{}
	opened    int
}

// NewFaultyProxy listens on a free loopback port until the test ends. The proxy has no address
// behind it before SetTarget.
func NewFaultyProxy(t TB) *FaultyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open a proxy: %v", err)
	}
	p := &FaultyProxy{listener: l, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Reset()
		p.running.Wait()
	})
	return p
}

// Addr returns the address of the proxy.
func (p *FaultyProxy) Addr() string { return p.listener.Addr().String() }

// SetTarget sets the address behind the proxy, as host:port.
func (p *FaultyProxy) SetTarget(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = address
}

// Blackhole sets whether all data through the proxy is dropped, in both directions.
// Dropped data does not come later.
func (p *FaultyProxy) Blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blackhole = on
}

// Reset ends all connections.
func (p *FaultyProxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(p.conns)
}

// Close ends all connections and refuses new ones, until SetTarget.
func (p *FaultyProxy) Close() {
	p.SetTarget("")
	p.Reset()
}

// Opened returns how many connections there have been.
func (p *FaultyProxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

func (p *FaultyProxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.target
		p.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.opened++
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.running.Go(func() { p.copy(out, in) })
		p.running.Go(func() { p.copy(in, out) })
	}
}

func (p *FaultyProxy) copy(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		lost := p.blackhole
		p.mu.Unlock()
		if lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
