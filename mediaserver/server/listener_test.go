package server

import (
	"bufio"
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

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peers"
)

// dialFrom connects from an address of this machine. The connection is closed with the test.
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
	const peer = "127.0.0.2"
	directory, err := peers.New(peers.Config{Base: "http://" + peer + ":5080"})
	if err != nil {
		t.Fatal(err)
	}
	if !directory.Includes(netip.MustParseAddr(peer)) {
		t.Fatal("the peer is not known")
	}
	s := &Server{counters: metrics.New(prometheus.NewRegistry()), limits: limits{connections: 2}, peers: directory}
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
	// comes connects, and waits until the connection is taken.
	comes := func(from string) net.Conn {
		c := dialFrom(t, from, l.Addr().String())
		if !isKept(c) {
			t.Fatalf("a connection from %s was turned away", from)
		}
		return c
	}
	first, second := comes("127.0.0.1"), comes("127.0.0.1")
	one, another := comes(peer), comes(peer)
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
		c.limits = &l
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
