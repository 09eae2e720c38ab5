package sse

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/tcp"
)

func TestAClientThatDoesNotReadItsEventsIsEnded(t *testing.T) {
	ended := make(chan error, 1)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := NewStream(w, r)
		for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
			if err := s.Send("state", strings.Repeat("x", 8<<10)); err != nil {
				s.Abandon(r)
				ended <- err
				return
			}
		}
		ended <- nil
	}))
	web.Listener = tcp.NewListener(web.Listener, tcp.DefaultLimits())
	web.Config.ConnContext = tcp.ConnContext
	web.Start()
	defer web.Close()
	c, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := <-ended; !errors.Is(err, ErrStalled) {
		t.Errorf("it ended with %v", err)
	}
	t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client reads to the end: %v", err)
	}
}
