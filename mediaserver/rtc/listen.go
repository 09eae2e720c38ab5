package rtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/streampair/streampair/mediaserver/icetcp"
)

// listen opens the TCP port and one UDP socket of the same number per local address.
//
// One UDP socket for all addresses would be simpler, but then the kernel chooses the
// source address. On a host with several addresses an answer may then leave from
// another address than the request came to, and ICE refuses it.
func (e *Engine) listen() error {
	host, port, err := net.SplitHostPort(e.cfg.Address)
	if err != nil {
		return fmt.Errorf("webrtc address %q: want host:port: %w", e.cfg.Address, err)
	}
	attempts := 1
	if port == "0" {
		attempts = portAttempts
	}
	for range attempts {
		if err = e.listenOnce(host, port); err == nil {
			return nil
		}
		e.closeSockets()
		e.udp, e.tcp = nil, nil
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return fmt.Errorf("listen for WebRTC on %s: %w", e.cfg.Address, err)
}

func (e *Engine) listenOnce(host, port string) error {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	e.tcp = icetcp.NewListener(ln, icetcp.Config{Places: e.cfg.MaxTCPConnections, Proxies: e.cfg.Proxies, Metrics: e.cfg.Metrics})
	bound := ln.Addr().(*net.TCPAddr).AddrPort()
	addrs := []netip.Addr{bound.Addr().Unmap()}
	if bound.Addr().IsUnspecified() {
		// 0.0.0.0 means IPv4 only; [::] and "" mean both.
		if addrs, err = localAddresses(bound.Addr().Unmap().Is4()); err != nil {
			return err
		}
	}
	for _, addr := range addrs {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, bound.Port())))
		if errors.Is(err, syscall.EADDRNOTAVAIL) && len(addrs) > 1 {
			// The duplicate detection of an IPv6 address has not ended yet, as in a
			// pod that has just started.
			e.log.Debug("address not usable for WebRTC", "address", addr, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		_ = conn.SetReadBuffer(udpBuffer)
		_ = conn.SetWriteBuffer(udpBuffer)
		e.udp = append(e.udp, conn)
	}
	if len(e.udp) == 0 {
		return errors.New("no network interface is up")
	}
	return nil
}

// localAddresses returns the addresses of the interfaces that are up. Loopback is
// included, so that a browser on the same machine works without a network. Link-local IPv6
// addresses are left out, because they mean nothing without a zone.
func localAddresses(v4Only bool) ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var addrs []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		prefixes, err := i.Addrs()
		if err != nil {
			continue // the interface has just gone
		}
		for _, p := range prefixes {
			prefix, err := netip.ParsePrefix(p.String())
			if err != nil {
				continue
			}
			addr := prefix.Addr().Unmap()
			if addr.IsLinkLocalUnicast() && addr.Is6() || v4Only && !addr.Is4() || seen[addr] {
				continue
			}
			seen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}
