package rtc

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// An AdvertisedAddress is where peers reach the server from outside.
type AdvertisedAddress struct {
	// IP is the address itself; it is not resolved or checked.
	IP netip.Addr
	// UDPPort and TCPPort are the ports outside; 0 means that of the Engine.
	UDPPort, TCPPort uint16
}

// String returns IP[:udpPort[:tcpPort]], for logs.
func (a AdvertisedAddress) String() string {
	if a.UDPPort == 0 {
		return a.IP.String()
	}
	s := netip.AddrPortFrom(a.IP, a.UDPPort).String()
	if a.TCPPort != 0 {
		s += ":" + strconv.Itoa(int(a.TCPPort))
	}
	return s
}

// rewriteCandidates returns the SDP with its host candidates replaced by the
// advertised addresses, if there are any. pion can replace addresses only, not
// ports, and there is no need that it knows: as an ICE-lite agent the server answers
// whatever reaches its sockets.
//
// Candidates of component 2 are removed in any case: RTCP shares the port of RTP.
func rewriteCandidates(sdp string, advertised []AdvertisedAddress, port uint16) string {
	var out strings.Builder
	replaced := false
	for line := range strings.Lines(sdp) {
		value, ok := strings.CutPrefix(line, "a=candidate:")
		if ok {
			if fields := strings.Fields(value); len(fields) > 1 && fields[1] == "2" {
				continue
			}
			if len(advertised) > 0 && strings.Contains(value, " typ host") {
				if !replaced {
					writeAdvertised(&out, advertised, port)
				}
				replaced = true
				continue
			}
		}
		if strings.HasPrefix(line, "m=") {
			replaced = false
		}
		out.WriteString(line)
	}
	return out.String()
}

// writeAdvertised writes the candidate lines (RFC 8839 section 5.1, RFC 6544
// section 4.5) with the priorities RFC 8445 section 5.1.2 gives: host candidates,
// UDP before TCP, in the order configured.
func writeAdvertised(out *strings.Builder, advertised []AdvertisedAddress, port uint16) {
	const hostPreference, component = 126, 1
	priority := func(local int) int { return hostPreference<<24 | local<<8 | (256 - component) }
	orDefault := func(p uint16) uint16 {
		if p == 0 {
			return port
		}
		return p
	}
	for i, a := range advertised {
		fmt.Fprintf(out, "a=candidate:%d %d udp %d %s %d typ host\r\n",
			1+i, component, priority(65535-i), a.IP, orDefault(a.UDPPort))
	}
	const passive = 2 // direction preference of passive TCP candidates, RFC 6544 section 4.2
	for i, a := range advertised {
		fmt.Fprintf(out, "a=candidate:%d %d tcp %d %s %d typ host tcptype passive\r\n",
			1+len(advertised)+i, component, priority(passive<<13|(8191-i)), a.IP, orDefault(a.TCPPort))
	}
}
