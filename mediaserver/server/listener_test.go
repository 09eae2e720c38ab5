package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
)

// dialFrom connects from an address of this machine.
// The connection is closed when the test ends.
func dialFrom(t *testing.T, from, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// getFrom sends a request from an address of this machine. The connection stays open.
func getFrom(t *testing.T, from, address, path string, headers ...string) (*http.Response, error) {
	t.Helper()
	c := dialFrom(t, from, address)
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n")); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

// isKept reports whether the server has left a connection open so far.
func isKept(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err := io.ReadFull(c, make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestViewersTakeNoPlaceOfThePeers(t *testing.T) {
	const peerIP = "127.0.0.2"
	m := metrics.New(prometheus.NewRegistry())
	other, err := peer.New(peer.Config{URL: "http://" + peerIP + ":5080", Insecure: true, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	if !other.Includes(netip.MustParseAddr(peerIP)) {
		t.Fatal("the peer is not known")
	}
	s := &Server{cfg: Config{limits: &limits{connections: 2}}, counters: m, peer: other}
	l, err := s.listen("http", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	// comes connects, and waits until the connection is accepted.
	comes := func(from string) net.Conn {
		c := dialFrom(t, from, l.Addr().String())
		if !isKept(c) {
			t.Fatalf("a connection from %s was turned away", from)
		}
		return c
	}
	first, second := comes("127.0.0.1"), comes("127.0.0.1")
	one, another := comes(peerIP), comes(peerIP)
	third := comes("127.0.0.1")
	if isKept(first) || !isKept(second) || !isKept(third) {
		t.Error("of three viewers for two places the one that was idle for the longest time must go")
	}
	if !isKept(one) || !isKept(another) {
		t.Error("a viewer took a peer's place")
	}
}

func TestIdleConnectionsClosePortsForNobody(t *testing.T) {
	const places = 64
	s := startServer(t, sticky, func(c *Config) {
		l := defaultLimits()
		l.connections = places
		c.limits = l
	})
	for name, port := range map[string]struct{ address, path string }{
		"HTTP":    {s.Addresses().HTTP, "/live/play.html"},
		"probe":   {s.Addresses().Probe, "/livez"},
		"control": {s.Addresses().Control, "/v1/status"},
	} {
		for range 3 * places {
			dialFrom(t, "127.0.0.2", port.address)
		}
		answer, err := getFrom(t, "127.0.0.3", port.address, port.path)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %v", name, answer, err)
		}
	}
}

// h2From returns a separate client at an address of this machine, with one HTTP/2 connection.
func h2From(t *testing.T, from string) *http.Client {
	transport := &http.Transport{
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}).DialContext,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// follows requests the events of a stream until the test ends, and returns the status code.
func follows(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode == http.StatusOK {
		if _, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return answer.StatusCode
}

func TestOneAddressTakesNeitherAllEventStreamsNorAllPairs(t *testing.T) {
	s := startServer(t, sticky, func(c *Config) {
		c.HTTPSAddress = "127.0.0.1:0"
		c.limits = &limits{connections: 256, eventStreams: 12, onDemand: 4}
	})
	url := func(name string) string { return "https://" + s.Addresses().HTTPS + "/live/events/" + name }
	t.Run("event streams of few HTTP/2 connections", func(t *testing.T) {
		for range 3 {
			c := h2From(t, "127.0.0.2")
			for range 6 {
				if status := follows(t, c, url("primary?backupStreamId=backup")); status != http.StatusOK && status != http.StatusServiceUnavailable {
					t.Fatal(status)
				}
			}
		}
		for range 3 {
			if status := follows(t, h2From(t, "127.0.0.3"), url("primary?backupStreamId=backup")); status != http.StatusOK {
				t.Errorf("somebody else got %d", status)
			}
		}
	})
	t.Run("pairs on demand", func(t *testing.T) {
		c := h2From(t, "127.0.0.2")
		full := 0
		for i := range 8 {
			if follows(t, c, url(fmt.Sprintf("nonsense%d", i))) == http.StatusServiceUnavailable {
				full++
			}
		}
		if full != 4 {
			t.Errorf("%d of 8 pairs for 4 places were refused", full)
		}
		if status := follows(t, h2From(t, "127.0.0.3"), url("stream")); status != http.StatusOK {
			t.Errorf("somebody else got %d", status)
		}
	})
}

func TestTheKubeletAlwaysReachesTheHealthPort(t *testing.T) {
	s := startServer(t, sticky, func(c *Config) { c.HealthAddress = "127.0.0.1:0" })
	for range 3 * healthConnections {
		dialFrom(t, "127.0.0.2", s.Addresses().Health)
	}
	for _, from := range []string{"127.0.0.3", "127.0.0.2"} { // the node, and an attacker's pod on it
		for _, test := range []struct {
			path string
			want int
		}{{"/livez", http.StatusOK}, {"/readyz", http.StatusOK}, {"/metrics", http.StatusNotFound}} {
			answer, err := getFrom(t, from, s.Addresses().Health, test.path)
			if err != nil || answer.StatusCode != test.want {
				t.Errorf("%s from %s: %v %v, want %d", test.path, from, answer, err, test.want)
			}
		}
	}
}

func TestClientsOfATrustedProxyCountByTheirOwnAddress(t *testing.T) {
	s := startServer(t, strings.Replace(sticky, "publish: {auth: None}", "publish: {auth: None}\n  exposure: {http: {trustedProxies: [127.0.0.9/32]}}", 1), func(c *Config) {
		c.limits = &limits{connections: 256, eventStreams: 2, onDemand: 4}
	})
	const path = "/live/events/primary?backupStreamId=backup"
	ask := func(client string) int {
		answer, err := getFrom(t, "127.0.0.9", s.Addresses().HTTP, path, "X-Forwarded-For: "+client)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	eventually.True(t, "the manifest is in force", func() bool { return s.proxies.Trusts(netip.MustParseAddr("127.0.0.9")) })
	for i, test := range []struct {
		client string
		want   int
	}{
		{"198.51.100.1", http.StatusOK}, {"198.51.100.1", http.StatusOK},
		{"198.51.100.1", http.StatusServiceUnavailable},
		{"203.0.113.1, 198.51.100.1", http.StatusServiceUnavailable}, // what the client invented
		{"198.51.100.2", http.StatusOK},
	} {
		if got := ask(test.client); got != test.want {
			t.Errorf("request %d, of %s: %d, want %d", i, test.client, got, test.want)
		}
	}
}
