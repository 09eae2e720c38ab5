package rtc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// An AdvertisedAddress is an address at which peers outside reach the server.
type AdvertisedAddress struct {
	// IP is the address as configured; it is neither resolved nor checked.
	IP netip.Addr
	// UDPPort and TCPPort are the ports outside; 0 means the Engine's port.
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

// A candidate is one address at which the server can be reached, over UDP or TCP.
type candidate struct {
	address netip.Addr
	port    uint16
	tcp     bool
}

// rewriteCandidates returns the SDP with its host candidates ordered for a client that
// came by reach. Advertised addresses, if any, replace the host candidates. pion can
// replace only addresses, not ports. pion need not know of the replacement: as an
// ICE-lite agent the server answers whatever reaches its sockets.
//
// Candidates of component 2 are always removed, because RTCP shares the port of RTP.
func rewriteCandidates(sdp string, advertised []AdvertisedAddress, port uint16, reach Reach) string {
	var out strings.Builder
	var found []candidate
	flush := func() {
		if len(found) > 0 {
			writeCandidates(&out, offeredTo(reach, found, advertised, port))
		}
		found = nil
	}
	for line := range strings.Lines(sdp) {
		if value, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			if c, ok := parseHost(value); ok {
				found = append(found, c)
			}
			continue
		}
		flush()
		out.WriteString(line)
	}
	flush()
	return out.String()
}

// parseHost reads a host candidate of component 1, RFC 8839 section 5.1. pion gathers no
// others.
func parseHost(value string) (c candidate, ok bool) {
	fields := strings.Fields(value)
	if len(fields) < 8 || fields[1] != "1" || fields[7] != "host" {
		return candidate{}, false
	}
	address, err := netip.ParseAddr(fields[4])
	if err != nil {
		return candidate{}, false
	}
	port, err := strconv.ParseUint(fields[5], 10, 16)
	return candidate{address, uint16(port), strings.EqualFold(fields[2], "tcp")}, err == nil
}

// offeredTo returns the candidates that a client is offered, the most useful first. Most clients
// try all; FFmpeg takes the first UDP candidate and no other. An advertised address that the client
// itself named comes first, and the others keep their configured order. Of the interfaces'
// addresses, the one at which the request arrived comes first, then those of the same family.
//
// Loopback comes last, even for a request from loopback: that may come from a proxy, and a client on
// this machine reaches the other addresses as well. It is left out if the client is known to be
// elsewhere and there are other addresses.
func offeredTo(reach Reach, found []candidate, advertised []AdvertisedAddress, port uint16) []candidate {
	if len(advertised) > 0 {
		found = nil
		for _, a := range advertised {
			found = append(found, candidate{a.IP, cmp.Or(a.UDPPort, port), false}, candidate{a.IP, cmp.Or(a.TCPPort, port), true})
		}
	}
	usable := func(c candidate) bool { return !c.address.IsLoopback() }
	if reach.Client.IsValid() && !reach.Client.IsLoopback() && slices.ContainsFunc(found, usable) {
		found = slices.DeleteFunc(found, func(c candidate) bool { return !usable(c) })
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Compare(reach.distance(a, len(advertised) > 0), reach.distance(b, len(advertised) > 0))
	})
	return found
}

// distance orders candidates for a client: a lower number comes first. UDP comes before TCP.
func (r Reach) distance(c candidate, advertised bool) int {
	const named, arrived, family, other, loopback, tcp = 0, 1, 2, 3, 4, 8
	d := other
	switch {
	case c.address.IsLoopback():
		d = loopback
	case c.address == r.Host:
		d = named
	case advertised: // keep the configured order
	case c.address == r.Local:
		d = arrived
	case r.Local.IsValid() && c.address.Is4() == r.Local.Is4():
		d = family
	}
	if c.tcp {
		d += tcp
	}
	return d
}

// writeCandidates writes candidates as SDP lines (RFC 8839 section 5.1, RFC 6544 section 4.5).
// Each candidate has its own priority, which falls along the list (RFC 8445 section 5.1.2).
func writeCandidates(out *strings.Builder, candidates []candidate) {
	const hostPreference, component = 126, 1
	const passive = 2 // direction preference of passive TCP candidates, RFC 6544 section 4.2
	priority := func(local int) int { return hostPreference<<24 | local<<8 | (256 - component) }
	udp, tcp := 0, 0
	for i, c := range candidates {
		if c.tcp {
			fmt.Fprintf(out, "a=candidate:%d %d tcp %d %s %d typ host tcptype passive\r\n",
				1+i, component, priority(passive<<13|(8191-tcp)), c.address, c.port)
			tcp++
			continue
		}
		fmt.Fprintf(out, "a=candidate:%d %d udp %d %s %d typ host\r\n", 1+i, component, priority(65535-udp), c.address, c.port)
		udp++
	}
}
