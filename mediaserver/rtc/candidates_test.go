package rtc

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCandidatesOfMostUseToTheClientComeFirst(t *testing.T) {
	ip := netip.MustParseAddr
	const interfaces = "127.0.0.1 10.0.0.2 192.168.1.2 ::1 fd00::2"
	advertise := func(addresses ...string) (list []AdvertisedAddress) {
		for _, a := range addresses {
			list = append(list, AdvertisedAddress{IP: ip(a)})
		}
		return list
	}
	for _, test := range []struct {
		name       string
		interfaces string
		advertised []AdvertisedAddress
		reach      Reach
		want       string
	}{
		{"nothing is known: loopback last", interfaces, nil, Reach{}, "10.0.0.2 192.168.1.2 fd00::2 127.0.0.1 ::1"},
		{
			"a client in a network: the address that it reached, no loopback", interfaces, nil,
			Reach{Client: ip("192.168.1.9"), Local: ip("192.168.1.2")}, "192.168.1.2 10.0.0.2 fd00::2",
		},
		{
			"over IPv6: that family first", interfaces, nil,
			Reach{Client: ip("fd00::9"), Local: ip("fd00::2")}, "fd00::2 10.0.0.2 192.168.1.2",
		},
		{
			"a client on this machine, or a proxy here that calls the server by loopback: loopback last", interfaces, nil,
			Reach{Client: ip("127.0.0.1"), Local: ip("127.0.0.1"), Host: ip("127.0.0.1")}, "10.0.0.2 192.168.1.2 fd00::2 127.0.0.1 ::1",
		},
		{
			"a client on this machine, by another address", interfaces, nil,
			Reach{Client: ip("10.0.0.2"), Local: ip("10.0.0.2"), Host: ip("10.0.0.2")}, "10.0.0.2 192.168.1.2 fd00::2",
		},
		{
			"a proxy on this machine that tells nothing but the URL", interfaces, nil,
			Reach{Client: ip("127.0.0.1"), Local: ip("127.0.0.1"), Host: ip("192.168.1.2")}, "192.168.1.2 10.0.0.2 fd00::2 127.0.0.1 ::1",
		},
		{
			"a proxy on this machine that tells its client", interfaces, nil,
			Reach{Client: ip("203.0.113.9"), Local: ip("127.0.0.1")}, "10.0.0.2 192.168.1.2 fd00::2",
		},
		{
			"a client on this machine, over IPv6: loopback last", interfaces, nil,
			Reach{Client: ip("::1"), Local: ip("::1"), Host: ip("::1")}, "fd00::2 10.0.0.2 192.168.1.2 127.0.0.1 ::1",
		},
		{"a client on this machine, and only loopback is there", "127.0.0.1", nil, Reach{Client: ip("127.0.0.1"), Local: ip("127.0.0.1")}, "127.0.0.1"},
		{"only loopback is there", "127.0.0.1", nil, Reach{Client: ip("192.168.1.9"), Local: ip("192.168.1.2")}, "127.0.0.1"},
		{
			"advertised: as configured, whatever the connection arrived at", interfaces, advertise("203.0.113.1", "2001:db8::1", "10.0.0.2"),
			Reach{Client: ip("198.51.100.9"), Local: ip("10.0.0.2")}, "203.0.113.1 2001:db8::1 10.0.0.2",
		},
		{
			"advertised: the one in the URL first", interfaces, advertise("203.0.113.1", "10.0.0.2"),
			Reach{Client: ip("10.0.0.9"), Local: ip("10.0.0.2"), Host: ip("10.0.0.2")}, "10.0.0.2 203.0.113.1",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sdp strings.Builder
			sdp.WriteString("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")
			for address := range strings.FieldsSeq(test.interfaces) {
				// pion gives all of them the same priority.
				fmt.Fprintf(&sdp, "a=candidate:1 1 udp 2130706431 %s 8189 typ host\r\n", address)
				fmt.Fprintf(&sdp, "a=candidate:2 1 tcp 1671430143 %s 8189 typ host tcptype passive\r\n", address)
			}
			sdp.WriteString("a=end-of-candidates\r\n")
			got := rewriteCandidates(sdp.String(), test.advertised, 8189, test.reach)
			var order [2][]string // UDP, TCP
			last, priorities := "", map[string]bool{}
			for line := range strings.Lines(got) {
				value, ok := strings.CutPrefix(line, "a=candidate:")
				if !ok {
					continue
				}
				fields := strings.Fields(value)
				i := 0
				if fields[2] == "tcp" {
					i = 1
				} else if last == "tcp" {
					t.Error("a candidate over UDP after one over TCP")
				}
				last = fields[2]
				order[i] = append(order[i], fields[4])
				if priorities[fields[3]] {
					t.Errorf("two candidates have the priority %s", fields[3])
				}
				priorities[fields[3]] = true
			}
			for i, transport := range []string{"UDP", "TCP"} {
				if diff := cmp.Diff(test.want, strings.Join(order[i], " ")); diff != "" {
					t.Errorf("over %s: %s", transport, diff)
				}
			}
			if !strings.HasSuffix(got, "typ host tcptype passive\r\na=end-of-candidates\r\n") {
				t.Errorf("the candidates are elsewhere:\n%s", got)
			}
		})
	}
}
