package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestViewersTakeNoPlaceOfThePeers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	peer := netip.MustParseAddr("127.0.0.2")
	b := bounded(l, func(a netip.Addr) bool { return a == peer })
	b.max = 2
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	// comes says whether a connection from there is kept.
	comes := func(from string) bool {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	for n, from := range []string{"127.0.0.1", "127.0.0.1"} {
		if !comes(from) {
			t.Fatalf("viewer %d was turned away", n)
		}
	}
	if comes("127.0.0.1") {
		t.Error("there is a place for one viewer too many")
	}
	for range 2 {
		if !comes(peer.String()) {
			t.Error("there is no place for the peer")
		}
	}
	if comes(peer.String()) {
		t.Error("there is a place for one peer too many")
	}
	if err := (<-accepted).Close(); err != nil {
		t.Fatal(err)
	}
	if !comes("127.0.0.1") {
		t.Error("a place that was left stays taken")
	}
	_ = l.Close()
	for c := range accepted {
		_ = c.Close()
	}
}
