package admission

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an event that takes a moment.
const patience = eventually.Patience

// server is an HTTP server behind a door of few places. GET / answers with the client's address.
// GET /media holds the connection, and GET /wait serves it. Both last until the client goes.
type server struct {
	t        *testing.T
	door     *Door
	metrics  *metrics.Metrics
	address  string
	isSecure bool
}

func serve(t *testing.T, places int, isSecure bool, options ...func(*ListenerConfig)) *server {
	t.Helper()
	s := &server{t: t, metrics: metrics.New(prometheus.NewRegistry()), isSecure: isSecure}
	s.door = NewDoor(DoorConfig{Name: "http", Limits: Limits{Max: places}, IdleLimit: time.Minute, Metrics: s.metrics})
	cfg := ListenerConfig{Door: s.door, Metrics: s.metrics}
	for _, option := range options {
		option(&cfg)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(raw, cfg)
	s.address = l.Addr().String()
	stay := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "here\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	mux.HandleFunc("/wait", stay)
	mux.HandleFunc("/media", func(w http.ResponseWriter, r *http.Request) {
		defer Hold(r.Context())()
		stay(w, r)
	})
	test := httptest.NewUnstartedServer(cfg.Proxies.Handler(mux))
	Watch(test.Config)
	hook := test.Config.ConnState
	_ = test.Listener.Close()
	test.Listener = l
	if isSecure {
		test.EnableHTTP2 = true
		test.StartTLS()
	} else {
		test.Start()
	}
	// httptest has installed a hook of its own, which should call ours: check that it does.
	if hook == nil || test.Config.ConnState == nil {
		t.Fatal("there is no hook")
	}
	t.Cleanup(func() {
		test.CloseClientConnections()
		test.Close()
	})
	return s
}

// dial connects from an address of this machine.
func (s *server) dial(from string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// get sends a request on a connection, and returns the first line of the answer's body.
func get(c net.Conn, path string, headers ...string) (string, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n")); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSpace(line), err
}

func (s *server) mustGet(c net.Conn, path string) {
	s.t.Helper()
	if _, err := get(c, path); err != nil {
		s.t.Fatalf("%s from %v: %v", path, c.LocalAddr(), err)
	}
}

// isOpen reports whether the server has left the connection open so far.
func isOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := io.ReadFull(c, make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestIdleConnectionsOfOneAddressKeepNobodyOut(t *testing.T) {
	const places = 16
	s := serve(t, places, false)
	viewer := s.dial("127.0.0.3")
	s.mustGet(viewer, "/media")
	waits := s.dial("127.0.0.3")
	s.mustGet(waits, "/wait")
	for range 4 * places {
		s.dial("127.0.0.2")
	}
	eventually.True(s.t, "all places are taken", func() bool { return s.door.Taken() == places })
	for range 3 {
		if got, err := get(s.dial("127.0.0.4"), "/"); err != nil || !strings.HasPrefix(got, "127.0.0.4:") {
			t.Errorf("somebody else got %q: %v", got, err)
		}
	}
	if !isOpen(viewer) || !isOpen(waits) {
		t.Error("the clients of another address were ended")
	}
	if n := testutil.ToFloat64(s.metrics.AdmissionEnded.WithLabelValues("http", "newcomer")); n < 3*places {
		t.Errorf("%v connections were ended for a newcomer", n)
	}
}

func TestConnectionsWithMediaStayAndTheNewcomerIsRefused(t *testing.T) {
	const places = 8
	s := serve(t, places, false)
	var viewers []net.Conn
	for range places {
		viewers = append(viewers, s.dial("127.0.0.2"))
		s.mustGet(viewers[len(viewers)-1], "/media")
	}
	if _, err := get(s.dial("127.0.0.3"), "/"); err == nil {
		t.Error("there is a place for one too many")
	}
	for i, c := range viewers {
		if !isOpen(c) {
			t.Errorf("viewer %d was ended", i)
		}
	}
	if n := testutil.ToFloat64(s.metrics.AdmissionRefusals.WithLabelValues("http", string(ReasonFull))); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
	_ = viewers[0].Close()
	eventually.True(s.t, "a place is free", func() bool { return s.door.Taken() < places })
	s.mustGet(s.dial("127.0.0.3"), "/")
}

func TestRequestsThatHangKeepNobodyOut(t *testing.T) {
	const places = 8
	s := serve(t, places, false)
	for range places {
		s.mustGet(s.dial("127.0.0.2"), "/wait")
	}
	if _, err := get(s.dial("127.0.0.2"), "/"); err == nil {
		t.Error("a request of the same address was ended for another")
	}
	s.mustGet(s.dial("127.0.0.3"), "/")
}

func TestAnHTTP2ConnectionHoldsAsOneOfHTTP1(t *testing.T) {
	const places = 4
	s := serve(t, places, true)
	// client returns a new browser at that address.
	client := func(from string) *http.Client {
		transport := &http.Transport{
			DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: true,
		}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: patience}
	}
	open := func(c *http.Client, path string) (*bufio.Reader, error) {
		answer, err := c.Get("https://" + s.address + path)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.ProtoMajor != 2 {
			t.Errorf("it came by %s", answer.Proto)
		}
		r := bufio.NewReader(answer.Body)
		_, err = r.ReadString('\n')
		return r, err
	}
	viewer := client("127.0.0.3")
	media, err := open(viewer, "/media")
	if err != nil {
		t.Fatal(err)
	}
	for range places - 1 {
		if _, err := open(client("127.0.0.2"), "/wait"); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := client("127.0.0.4").Get("https://" + s.address + "/")
	if err != nil {
		t.Fatalf("somebody else was kept out: %v", err)
	}
	_ = answer.Body.Close()
	// The viewer's connection is still open for another request.
	if _, err := open(viewer, "/wait"); err != nil || media.Buffered() > 0 {
		t.Errorf("the viewer's connection: %v", err)
	}
}

func TestTrustedProxiesTellTheClient(t *testing.T) {
	s := serve(t, 4, false, func(c *ListenerConfig) { c.Proxies = trusting(t, "127.0.0.9") })
	header := func(version byte, command proxyproto.ProtocolVersionAndCommand) string {
		h := proxyproto.HeaderProxyFromAddrs(version,
			&net.TCPAddr{IP: net.ParseIP("198.51.100.1"), Port: 1000}, &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 80})
		h.Command = command
		b, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, test := range []struct{ name, from, first, forwarded, want string }{
		{"no header", "127.0.0.9", "", "", "127.0.0.9:"},
		{"X-Forwarded-For", "127.0.0.9", "", "198.51.100.2", "198.51.100.2"},
		{"PROXY version 1", "127.0.0.9", header(1, proxyproto.PROXY), "", "198.51.100.1:1000"},
		{"PROXY version 2", "127.0.0.9", header(2, proxyproto.PROXY), "", "198.51.100.1:1000"},
		{"a client's X-Forwarded-For behind PROXY", "127.0.0.9", header(2, proxyproto.PROXY), "198.51.100.2", "198.51.100.1:1000"},
		{"a proxy's own check", "127.0.0.9", header(2, proxyproto.LOCAL), "", "127.0.0.9:"},
		{"a broken PROXY header", "127.0.0.9", "PROXY TCP4 nonsense\r\n", "", ""},
		{"a stranger's X-Forwarded-For", "127.0.0.2", "", "198.51.100.2", "127.0.0.2:"},
		{"a stranger's PROXY header is no HTTP", "127.0.0.2", header(2, proxyproto.PROXY), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dial(test.from)
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, test.first); err != nil {
				t.Fatal(err)
			}
			var headers []string
			if test.forwarded != "" {
				headers = []string{"X-Forwarded-For: " + test.forwarded}
			}
			got, err := get(c, "/", headers...)
			if refused := err != nil || strings.HasPrefix(got, "400"); refused != (test.want == "") || !refused && !strings.HasPrefix(got, test.want) {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
	if n := testutil.ToFloat64(s.metrics.AdmissionRefusals.WithLabelValues("http", "proxy_header")); n != 1 {
		t.Errorf("%v broken headers are counted", n)
	}
}

func TestProxiesKeepTheirConnections(t *testing.T) {
	const places = 4
	s := serve(t, places, false, func(c *ListenerConfig) { c.Proxies = trusting(t, "127.0.0.9") })
	var idle []net.Conn
	for range 3 * places {
		c := s.dial("127.0.0.9")
		s.mustGet(c, "/")
		idle = append(idle, c)
	}
	for range 3 * places {
		s.mustGet(s.dial("127.0.0.2"), "/")
	}
	s.door.EndIdle(time.Now().Add(time.Hour))
	for i, c := range idle {
		if !isOpen(c) {
			t.Fatalf("connection %d of the proxy was ended", i)
		}
	}
}

func TestIdleClientsHaveLessTimeTheFewerPlacesAreFree(t *testing.T) {
	cfg := DoorConfig{Limits: Limits{Max: 100}, IdleLimit: 2 * time.Minute, IdleLimitFull: 15 * time.Second}
	for taken, want := range map[int]time.Duration{
		0: 2 * time.Minute, 50: 2 * time.Minute, 75: 67500 * time.Millisecond, 100: 15 * time.Second, 101: 15 * time.Second,
	} {
		if got := cfg.idleLimit(taken); got != want {
			t.Errorf("with %d of 100 places taken %v, want %v", taken, got, want)
		}
	}
}

func TestOnlyThoseWhoWaitedTooLongAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(DoorConfig{Name: "test", Limits: Limits{Max: 100}, IdleLimit: time.Minute, IdleLimitFull: time.Second})
		ended := map[string]bool{}
		enter := func(name string) *Place {
			p, err := d.Enter(host(name), func() { ended[name] = true })
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		enter("idle")
		enter("served").Serve()
		enter("media").Hold()
		again := enter("again")
		again.Serve()
		time.Sleep(50 * time.Second)
		again.Wait()
		enter("young")
		d.EndIdle(time.Now())
		if len(ended) != 0 {
			t.Errorf("after 50 s: %v", ended)
		}
		time.Sleep(11 * time.Second)
		d.EndIdle(time.Now())
		if !ended["idle"] || len(ended) != 1 || d.Taken() != 4 {
			t.Errorf("after 61 s: %v, %d places are taken", ended, d.Taken())
		}
	})
}

func TestAPlaceThatWasHeldTwiceIsHeldUntilBothAreReleased(t *testing.T) {
	d := NewDoor(DoorConfig{Name: "test", Limits: Limits{Max: 1}})
	p, err := d.Enter(host("a"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	p.Hold()
	p.Hold()
	p.Serve()
	p.Release()
	var refusal *Refusal
	if _, err := d.Enter(host("b"), func() {}); !errors.As(err, &refusal) || refusal.Reason != ReasonFull {
		t.Errorf("while it is held: %v", err)
	}
	p.Release()
	if _, err := d.Enter(host("b"), func() {}); err != nil {
		t.Errorf("when it is not: %v", err)
	}
	p.Leave()
	p.Leave()
	if d.Taken() != 1 {
		t.Errorf("%d places are taken", d.Taken())
	}
}
