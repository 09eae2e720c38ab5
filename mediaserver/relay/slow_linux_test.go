package relay

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/mediaserver/tcp"
)

// flvPort serves the node's streams to players, with the limits of the server's own ports.
func flvPort(t *testing.T, n *node, tlsToo bool) (address string) {
	t.Helper()
	n.handler.cfg.Play = func(string, string, string) error { return nil }
	mux := http.NewServeMux()
	n.handler.Register(mux)
	web := httptest.NewUnstartedServer(mux)
	web.Listener = tcp.NewListener(web.Listener, tcp.DefaultLimits())
	web.Config.ConnContext = tcp.ConnContext
	if tlsToo {
		web.EnableHTTP2 = true
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(func() {
		n.handler.Close()
		web.Close()
	})
	return web.Listener.Addr().String()
}

// dialPlayer opens a connection that takes few bytes before it is read from.
func dialPlayer(t *testing.T, address string) net.Conn {
	t.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func overTLS(c net.Conn) net.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
}

func TestAPlayerThatDoesNotReadIsEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	n := newNode(t)
	plain, secure := flvPort(t, n, false), flvPort(t, n, true)
	e := &encoder{t: t, node: n, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.play(time.Second)
	const request = "GET /live/primary.flv HTTP/1.1\r\nHost: test\r\n\r\n"
	ask := func(c net.Conn) net.Conn {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask(dialPlayer(t, plain))
	ask(overTLS(dialPlayer(t, secure)))
	// Over HTTP/2 the connection is read, but the stream is not.
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	res, err := (&http.Client{Transport: transport}).Get("https://" + secure + "/live/primary.flv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.ProtoMajor != 2 {
		t.Fatalf("answered by %s", res.Proto)
	}
	began := time.Now()
	players := func() int { return n.handler.PlayerCount() }
	e.playUntil("three players", func() bool { return players() == 3 })
	// Over HTTP/2 the client's own flow-control window has to fill too: Go's window is 4 MiB.
	e.playUntil("the first player's end", func() bool { return players() < 3 })
	first := time.Since(began)
	e.playUntil("the second player's end", func() bool { return players() < 2 })
	t.Logf("players that do not read ended after %v and %v", first.Round(ms), time.Since(began).Round(ms))
	if first < 4*time.Second {
		t.Errorf("a player was ended after %v", first)
	}
	if second := time.Since(began); second > 9*time.Second {
		t.Errorf("a player was ended after %v only", second)
	}
	if count := testutil.ToFloat64(n.metrics.ReadersStalled.WithLabelValues("flv")); count < 2 {
		t.Errorf("%v were counted", count)
	}
}

// rateReader reads so many bytes a second.
func rateReader(r io.Reader, bytesPerSecond int, done <-chan struct{}) (read int, err error) {
	const interval = 20 * ms
	buf := make([]byte, bytesPerSecond*int(interval/ms)/1000)
	for tick := time.NewTicker(interval); ; {
		select {
		case <-done:
			tick.Stop()
			return read, nil
		case <-tick.C:
		}
		n, err := io.ReadFull(r, buf)
		if read += n; err != nil {
			tick.Stop()
			return read, err
		}
	}
}

func TestAPlayerIsEndedIfItsLineIsSlowerThanTheStream(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	n := newNode(t)
	plain := flvPort(t, n, false)
	e := &encoder{t: t, node: n, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.play(time.Second)
	// 25 pictures of 3 kB and an IDR of 20 kB a second, and the tags of the sound.
	const streamRate = 25*3020 + 20_000 + 50*30
	type player struct {
		rate  float64
		done  chan struct{}
		end   chan error
		ended error
	}
	players := []*player{{rate: 1.15}, {rate: .5}, {rate: .02}}
	for _, p := range players {
		p.done, p.end = make(chan struct{}), make(chan error, 1)
		c := dialPlayer(t, plain)
		if _, err := fmt.Fprint(c, "GET /live/primary.flv HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		go func() {
			read, err := rateReader(bufio.NewReaderSize(c, 16), int(p.rate*streamRate), p.done)
			t.Logf("at %.2f of the stream's rate: %d bytes, %v", p.rate, read, err)
			p.end <- err
		}()
	}
	began := time.Now()
	hasEnded := func(p *player) func() bool {
		return func() bool {
			select {
			case p.ended = <-p.end:
				return true
			default:
				return false
			}
		}
	}
	for _, p := range players[1:] {
		e.playUntil("a slow player's end", hasEnded(p))
		if p.ended == nil {
			t.Errorf("the player at %.2f was not ended", p.rate)
		}
	}
	e.play(time.Until(began.Add(18 * time.Second)))
	close(players[0].done)
	e.playUntil("the end of the last player, which may wait for media", hasEnded(players[0]))
	if err := players[0].ended; err != nil {
		t.Errorf("the player whose line is fast enough: %v", err)
	}
}
