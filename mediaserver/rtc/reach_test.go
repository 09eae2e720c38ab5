package rtc

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReachOf(t *testing.T) {
	ip := netip.MustParseAddr
	for name, test := range map[string]struct {
		host, remote string
		local        net.Addr
		want         Reach
	}{
		"an address in the URL": {
			"192.0.2.1:5080", "198.51.100.9:1234", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 5080},
			Reach{Client: ip("198.51.100.9"), Host: ip("192.0.2.1"), Local: ip("10.0.0.2")},
		},
		"IPv6": {
			"[2001:db8::1]:5080", "[2001:db8::9]:1234", &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 5080},
			Reach{Client: ip("2001:db8::9"), Host: ip("2001:db8::1"), Local: ip("2001:db8::1")},
		},
		"IPv6 without a port":     {"[2001:db8::1]", "[2001:db8::9]:1234", nil, Reach{Client: ip("2001:db8::9"), Host: ip("2001:db8::1")}},
		"a name":                  {"live.example", "198.51.100.9:1234", nil, Reach{Client: ip("198.51.100.9")}},
		"a trusted proxy's word":  {"live.example", "198.51.100.9", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Reach{Client: ip("198.51.100.9"), Local: ip("127.0.0.1")}},
		"localhost":               {"localhost:5080", "127.0.0.1:1234", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Reach{Client: ip("127.0.0.1"), Local: ip("127.0.0.1")}},
		"an unknown proxy's word": {"live.example", "127.0.0.1:1234", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Reach{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/live/whip/primary", nil)
			r.Host, r.RemoteAddr = test.host, test.remote
			if test.local != nil {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, test.local))
			}
			if diff := cmp.Diff(test.want, ReachOf(r), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
