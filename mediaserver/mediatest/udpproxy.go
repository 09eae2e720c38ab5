package mediatest

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// A UDPProxy stands between one client and a server, and may change or drop datagrams.
type UDPProxy struct {
	client, server *net.UDPConn
	pass           func(b []byte, toServer bool) bool
	mu             sync.Mutex
	from           netip.AddrPort // of the client
}

// NewUDPProxy returns a proxy in front of a server on loopback. pass is called for each datagram,
// which it may change; it reports whether the datagram is passed on. It is called from two
// goroutines, one for each direction.
func NewUDPProxy(t TB, server net.Addr, pass func(b []byte, toServer bool) bool) *UDPProxy {
	t.Helper()
	p := &UDPProxy{pass: pass}
	var err error
	if p.client, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if p.server, err = net.DialUDP("udp", nil, server.(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(p.toServer)
	running.Go(p.toClient)
	t.Cleanup(func() {
		_ = p.client.Close()
		_ = p.server.Close()
		running.Wait()
	})
	return p
}

// Addr returns the address for the client, host:port.
func (p *UDPProxy) Addr() string { return p.client.LocalAddr().String() }

func (p *UDPProxy) toServer() {
	b := make([]byte, 64<<10)
	for {
		n, from, err := p.client.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.from = from
		p.mu.Unlock()
		if p.pass(b[:n], true) {
			_, _ = p.server.Write(b[:n])
		}
	}
}

func (p *UDPProxy) toClient() {
	b := make([]byte, 64<<10)
	for {
		n, err := p.server.Read(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // the server's port is closed at the moment
		}
		p.mu.Lock()
		to := p.from
		p.mu.Unlock()
		if to.IsValid() && p.pass(b[:n], false) {
			_, _ = p.client.WriteToUDPAddrPort(b[:n], to)
		}
	}
}
