package admission

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func trusting(t testing.TB, networks ...string) *Proxies {
	t.Helper()
	var parsed []netip.Prefix
	for _, text := range networks {
		network, err := ParseProxy(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, network)
	}
	p := &Proxies{}
	p.Trust(parsed)
	return p
}

func TestNetworkOf(t *testing.T) {
	got := map[string]string{}
	for _, remote := range []string{
		"192.0.2.1:5000", "[::ffff:192.0.2.1]:5000", "[2001:db8::1]:1", "[2001:db8::ffff:1]:2", "[fe80::1%eth0]:1",
		"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "@", "",
	} {
		got[remote] = NetworkOf(AddressOf(remote)).String()
	}
	want := map[string]string{
		"192.0.2.1:5000": "192.0.2.1/32", "[::ffff:192.0.2.1]:5000": "192.0.2.1/32",
		"[2001:db8::1]:1": "2001:db8::/64", "[2001:db8::ffff:1]:2": "2001:db8::/64", "[fe80::1%eth0]:1": "fe80::/64",
		"192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::/64", "::ffff:192.0.2.1": "192.0.2.1/32",
		"@": "invalid Prefix", "": "invalid Prefix",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseProxy(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::1/128",
		"0.0.0.0/0": "", "::/0": "", "::ffff:0.0.0.0/96": "", "": "", "proxy.example.com": "", "10.0.0.0/33": "", "fe80::1%eth0": "",
	} {
		network, err := ParseProxy(text)
		if want == "" && err == nil || want != "" && (err != nil || network.String() != want) {
			t.Errorf("%q: %v %v, want %q", text, network, err, want)
		}
	}
}

func TestTheRightmostUntrustedAddressIsTheClient(t *testing.T) {
	proxies := trusting(t, "10.0.0.0/8", "2001:db8:1::/48")
	for _, test := range []struct {
		name, from string
		header     []string
		want       string
	}{
		{"no proxy, no header", "192.0.2.1", nil, "192.0.2.1"},
		{"a stranger's header", "192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy without a header", "10.0.0.1", nil, "10.0.0.1"},
		{"a proxy", "10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy mapped into IPv6", "::ffff:10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client made up is left of its address", "10.0.0.1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"also in a header of its own", "10.0.0.1", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"a chain of proxies", "10.0.0.1", []string{"203.0.113.9, 198.51.100.1, 10.0.0.3,10.0.0.2"}, "198.51.100.1"},
		{"a chain of headers", "10.0.0.1", []string{"198.51.100.1", "10.0.0.3", "10.0.0.2"}, "198.51.100.1"},
		{"a client who pretends to be a proxy", "10.0.0.1", []string{"10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		{"nobody but proxies", "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"with a port", "10.0.0.1", []string{"198.51.100.1:5000"}, "198.51.100.1"},
		{"IPv6", "2001:db8:1::1", []string{"2001:db8:2::1"}, "2001:db8:2::1"},
		{"IPv6 in brackets, with a port", "10.0.0.1", []string{"[2001:db8:2::1]:5000"}, "2001:db8:2::1"},
		{"IPv6 in brackets", "10.0.0.1", []string{"[2001:db8:2::1]"}, "2001:db8:2::1"},
		{"no address: the proxy that wrote it", "10.0.0.1", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1", []string{""}, "10.0.0.1"},
		{"commas", "10.0.0.1", []string{",,,"}, "10.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := proxies.Client(netip.MustParseAddr(test.from).Unmap(), test.header); got.String() != test.want {
				t.Errorf("%v, want %s", got, test.want)
			}
		})
	}
}

func FuzzClient(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2", "[::1]:5")
	f.Add(",", "unknown, 10.0.0.2:")
	proxies := trusting(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, first, second string) {
		stranger, proxy := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
		if got := proxies.Client(stranger, []string{first, second}); got != stranger {
			t.Errorf("a stranger became %v", got)
		}
		if got := proxies.Client(proxy, []string{first, second}); !got.IsValid() {
			t.Error("a request of nobody")
		}
		// Whatever the client writes, the entry that the proxy appends counts.
		if got := proxies.Client(proxy, []string{first, second, "198.51.100.7"}); got.String() != "198.51.100.7" {
			t.Errorf("a client became %v", got)
		}
	})
}

func TestWhatStrangersClaimIsTakenOut(t *testing.T) {
	proxies := trusting(t, "10.0.0.0/8")
	for _, test := range []struct{ from, want, proto string }{
		{"192.0.2.1:5000", "192.0.2.1:5000", ""},
		{"10.0.0.1:5000", "198.51.100.1", "https"},
	} {
		var got, proto string
		h := proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, proto = r.RemoteAddr, r.Header.Get("x-forwarded-proto")
			for _, name := range []string{"Accept", "X-Forwarded-Prefix"} {
				if r.Header.Get(name) == "" {
					t.Errorf("%s is missing, which claims nothing", name)
				}
			}
		}))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = test.from
		for name, value := range map[string]string{"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https", "Forwarded": "for=1.2.3.4", "Accept": "a", "X-Forwarded-Prefix": "/media"} {
			r.Header.Set(name, value)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != test.want || proto != test.proto {
			t.Errorf("from %s: %s by %q", test.from, got, proto)
		}
	}
}

func TestTheNamesOfClaimsAreCanonical(t *testing.T) {
	for _, name := range claims {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%q is never found", name)
		}
	}
	if !strings.EqualFold(claims[0], ForwardedFor) {
		t.Error(claims[0])
	}
}

// A server that is about to end closes its listener first, and then answers what it was asked.
func TestAcceptedConnectionsOfProxiesOutliveTheListener(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(raw, ListenerConfig{Proxies: trusting(t, "127.0.0.0/8")})
	proxy, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	if _, err := proxy.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Errorf("write after the listener was closed: %v", err)
	}
	answer := make([]byte, 6)
	if _, err := io.ReadFull(proxy, answer); err != nil || string(answer) != "answer" {
		t.Errorf("the proxy reads %q, %v", answer, err)
	}
	_ = silent.SetReadDeadline(time.Now().Add(patience))
	if _, err := silent.Read(answer); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that has sent nothing stays open: %v", err)
	}
}
