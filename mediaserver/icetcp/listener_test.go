package icetcp

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/tcp"
)

// A listenerTest is a Listener with clients.
type listenerTest struct {
	t        *testing.T
	listener *Listener
	metrics  *metrics.Metrics
}

func newListenerTest(t *testing.T, cfg Config) *listenerTest {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Metrics = metrics.New(prometheus.NewRegistry())
	s := &listenerTest{t, NewListener(l, cfg), cfg.Metrics}
	t.Cleanup(func() { _ = s.listener.Close() })
	return s
}

// dial connects a client that takes only few bytes before it reads.
func (s *listenerTest) dial() *net.TCPConn {
	s.t.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.DialContext(s.t.Context(), "tcp4", s.listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		s.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func (s *listenerTest) accept() *Conn {
	s.t.Helper()
	c, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c.(*Conn)
}

// connect returns both ends of a connection.
func (s *listenerTest) connect() (*Conn, *net.TCPConn) {
	s.t.Helper()
	client := s.dial()
	return s.accept(), client
}

func (s *listenerTest) limited(c *Conn) *tcp.Conn {
	limited := tcp.From(c.Conn)
	if limited == nil {
		s.t.Fatal("the connection has no limits")
	}
	return limited
}

// receive reads one frame and returns its packet.
func receive(t *testing.T, client net.Conn) []byte {
	t.Helper()
	var length [lengthBytes]byte
	if _, err := io.ReadFull(client, length[:]); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(client, packet); err != nil {
		t.Fatal(err)
	}
	return packet
}

// isEnded waits for the server to close a connection. It reports whether the server has closed it.
func isEnded(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

func TestTheConnectionOfASessionsMediaKeepsItsPlace(t *testing.T) {
	s := newListenerTest(t, Config{Places: 2})
	first, _ := s.connect()
	second, secondClient := s.connect()
	session := s.listener.NewSessionConn()
	session.Select(first.remote)
	_, thirdClient := s.connect()
	if !isEnded(secondClient) {
		t.Error("the newcomer does not get the place of the one that waits")
	}
	_ = second.Close()
	session.Select(netip.AddrPort{}) // the media go over UDP now
	fourth, _ := s.connect()
	if got := s.listener.Find(fourth.remote); got != fourth {
		t.Error("the fourth has no place")
	}
	// Of two waiting connections, the one that has waited longer loses its place.
	if !isEnded(thirdClient) {
		t.Error("the third is still there")
	}
}

func TestASessionKeepsOnePlace(t *testing.T) {
	s := newListenerTest(t, Config{Places: 2})
	a, aClient := s.connect()
	b, _ := s.connect()
	session := s.listener.NewSessionConn()
	session.Select(a.remote)
	session.Select(b.remote)
	session.Select(b.remote)
	s.connect()
	if !isEnded(aClient) {
		t.Error("the session kept two places")
	}
}

func TestWhereAllStayTheNewcomerIsRefused(t *testing.T) {
	s := newListenerTest(t, Config{Places: 1})
	only, _ := s.connect()
	s.listener.NewSessionConn().Select(only.remote)
	if !isEnded(s.dial()) {
		t.Error("the newcomer is let in")
	}
	if n := testutil.ToFloat64(s.metrics.WebRTCRefusals.WithLabelValues("too_many")); n != 1 {
		t.Errorf("%v refusals counted, want 1", n)
	}
	if n := testutil.ToFloat64(s.metrics.AdmissionRefusals.WithLabelValues("webrtc_tcp", string(admission.ReasonFull))); n != 1 {
		t.Errorf("%v refusals counted by the door, want 1", n)
	}
}

func TestAConnectionIsFoundByItsAddressUntilItIsClosed(t *testing.T) {
	s := newListenerTest(t, Config{Places: 2})
	c, client := s.connect()
	remote := client.LocalAddr().(*net.TCPAddr).AddrPort()
	if got := s.listener.Find(remote); got != c {
		t.Errorf("found %v", got)
	}
	_ = c.Close()
	if got := s.listener.Find(remote); got != nil {
		t.Errorf("after Close: found %v", got)
	}
}

func TestCloseEndsEveryConnection(t *testing.T) {
	s := newListenerTest(t, Config{Places: 2})
	_, one := s.connect()
	_, other := s.connect()
	if err := s.listener.Close(); err != nil {
		t.Error(err)
	}
	if !isEnded(one) || !isEnded(other) {
		t.Error("a connection goes on")
	}
	if _, err := s.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

func TestATrustedProxyTellsTheClientsAddress(t *testing.T) {
	loopback := &admission.Proxies{}
	loopback.Trust([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	for name, tt := range map[string]struct{ header, want string }{
		"a client":                     {"PROXY TCP4 192.0.2.7 127.0.0.1 4711 8189\r\n", "192.0.2.7:4711"},
		"a client of the other family": {"PROXY TCP6 2001:db8::7 2001:db8::1 4711 8189\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newListenerTest(t, Config{Places: 2, Proxies: loopback})
			client := s.dial()
			if _, err := client.Write([]byte(tt.header)); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == "" { // otherwise the mux would not find the session
				want = client.LocalAddr().String()
			}
			c := s.accept()
			if got := c.RemoteAddr().String(); got != want || s.listener.Find(c.remote) != c {
				t.Errorf("the client is %s, want %s", got, want)
			}
		})
	}
}
