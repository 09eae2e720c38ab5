package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streampair/streampair/hack/eventually"
)

// patience is how long a test waits for something that should take a moment.
const patience = eventually.Patience

// pair returns both ends of a connection. The client takes only few bytes before it reads.
func pair(t *testing.T, limits Limits) (server *Conn, client *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := NewListener(ln, limits)
	defer func() { _ = limited.Close() }()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	c, err := small.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.Close(), c.Close() })
	return From(s), c.(*net.TCPConn)
}

// fill writes until the connection takes no more, and leaves the connection open.
func fill(t *testing.T, c *Conn) (written int64) {
	t.Helper()
	if err := c.SetWriteDeadline(time.Now().Add(500 * ms)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := c.Conn.Write(make([]byte, 16<<10))
		written = c.written.Add(int64(n))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return written
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheKernelHoldsFewBytesForAPeerThatDoesNotRead(t *testing.T) {
	server, _ := pair(t, DefaultLimits())
	written := fill(t, server)
	sent, _ := server.Sent()
	unlimited, _ := pair(t, Limits{})
	t.Logf("%d bytes taken, %d of them unsent; without limits %d", written, written-sent, fill(t, unlimited))
	// When the limit is reached, one more segment may be on its way into the buffer.
	if waiting := written - sent; waiting < 64<<10 || waiting > 256<<10 {
		t.Errorf("%d bytes are unsent, the limit is %d", waiting, DefaultLimits().UnsentBytes)
	}
}

func TestABacklogFollowsWhatThePeerTakes(t *testing.T) {
	server, client := pair(t, DefaultLimits())
	b := NewBacklog(server)
	const next = time.Minute
	if due := b.Due(next); due != next {
		t.Errorf("before anything was written: due at %v", due)
	}
	if _, err := server.Write(make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	b.Mark(time.Second)
	if _, err := server.Write(make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	b.Mark(2 * time.Second)
	if due := b.Due(next); due != time.Second {
		t.Errorf("due at %v", due)
	}
	if _, err := io.ReadFull(client, make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the first bytes sent", func() bool { return b.Due(next) != time.Second })
	if _, err := io.ReadFull(client, make([]byte, 20<<10)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "all sent", func() bool { return b.Due(next) == next })
}

func TestAPeerThatKeepsItsWindowShutIsResetByTheKernel(t *testing.T) {
	server, _ := pair(t, Limits{UnsentBytes: 64 << 10, UserTimeout: time.Second})
	fill(t, server)
	if err := server.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := server.Read(make([]byte, 1))
	t.Logf("after %v: %v", time.Since(began).Round(ms), err)
	if !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("%v", err)
	}
}

func TestAnAbortedConnectionIsReset(t *testing.T) {
	server, client := pair(t, DefaultLimits())
	fill(t, server)
	server.Abort()
	if err := client.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
}

func TestAWriteThatMissesItsDeadlineResetsTheConnection(t *testing.T) {
	server, client := pair(t, DefaultLimits())
	fill(t, server)
	if _, err := server.Write(make([]byte, 16<<10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the write ends with %v", err)
	}
	if err := client.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
}

func TestLimitsCanBeLifted(t *testing.T) {
	server, _ := pair(t, DefaultLimits())
	server.SetLimits(Limits{})
	if written := fill(t, server); written < 1<<20 {
		t.Errorf("%d bytes taken", written)
	}
}

func TestTheConnectionOfARequestIsFoundThroughWrappers(t *testing.T) {
	server, _ := pair(t, DefaultLimits())
	wrapped := tls.Server(wrapper{server}, &tls.Config{MinVersion: tls.VersionTLS13})
	if got := FromContext(ConnContext(context.Background(), wrapped)); got != server {
		t.Errorf("found %v", got)
	}
	if got := FromContext(ConnContext(context.Background(), server.Conn)); got != nil {
		t.Errorf("without limits: found %v", got)
	}
	// Handlers need not know whether there is a Conn.
	var none *Conn
	none.SetLimits(DefaultLimits())
	none.Abort()
	b := NewBacklog(none)
	b.Mark(0)
	if due := b.Due(time.Second); due != time.Second {
		t.Errorf("on no connection: due at %v", due)
	}
}

type wrapper struct{ net.Conn }

func (w wrapper) NetConn() net.Conn { return w.Conn }
