package v1alpha1

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// A MediaAddress is an address under which browsers reach a media server whose own
// addresses they can't: behind NAT, a load balancer or a node port.
//
// +kubebuilder:object:generate=false
type MediaAddress struct {
	// IP is told to browsers in place of the server's own address.
	IP netip.Addr
	// UDPPort and TCPPort are told in place of the server's own port; 0 keeps that.
	UDPPort, TCPPort uint16
}

// ParseMediaAddress reads IP[:udpPort[:tcpPort]]. An IPv6 address with a port stands
// in brackets: [2001:db8::1]:8189. With one port, it is meant for UDP and TCP.
func ParseMediaAddress(s string) (MediaAddress, error) {
	host, ports := s, ""
	if rest, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if host, ports, closed = strings.Cut(rest, "]"); !closed {
			return MediaAddress{}, errors.New("the bracket before the IPv6 address is not closed")
		}
		if ports != "" && ports[0] != ':' {
			return MediaAddress{}, errors.New("must be [IPv6], [IPv6]:udpPort or [IPv6]:udpPort:tcpPort")
		}
	} else if _, err := netip.ParseAddr(s); err != nil {
		// Not a bare address, IPv6 included: what follows the first colon are ports.
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, ports = s[:i], s[i:]
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return MediaAddress{}, fmt.Errorf("must be IP[:udpPort[:tcpPort]], IPv6 in brackets; %q is no IP address", host)
	}
	if s[0] == '[' && ip.Is4() {
		return MediaAddress{}, fmt.Errorf("only an IPv6 address stands in brackets, %s does not", ip)
	}
	if ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast {
		return MediaAddress{}, fmt.Errorf("%s can't be told to a browser as the address of this server", ip)
	}
	address := MediaAddress{IP: ip.Unmap()}
	if ports == "" {
		return address, nil
	}
	udp, tcp, both := strings.Cut(ports[1:], ":")
	if !both {
		tcp = udp
	}
	if address.UDPPort, err = parsePort(udp); err != nil {
		return MediaAddress{}, err
	}
	if address.TCPPort, err = parsePort(tcp); err != nil {
		return MediaAddress{}, err
	}
	return address, nil
}

// String returns the form that ParseMediaAddress reads.
func (a MediaAddress) String() string {
	if a.UDPPort == 0 && a.TCPPort == 0 {
		return a.IP.String()
	}
	host := a.IP.String()
	if a.IP.Is6() {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d:%d", host, a.UDPPort, a.TCPPort)
}

func parsePort(s string) (uint16, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || s[0] == '0' {
		return 0, fmt.Errorf("port %q must be a number from 1 to 65535", s)
	}
	return uint16(port), nil
}
