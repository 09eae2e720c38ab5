package rtmp

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A clientConn is the socket with its deadlines, its byte budget and its closing. Read is
// called by one goroutine; Write and stop by any.
type clientConn struct {
	conn   net.Conn // TCP, or TLS over TCP
	limits Limits
	// received counts the bytes that Read has returned, modulo 2^32. It is for the goroutine that
	// calls Read.
	received uint32

	mu         sync.Mutex // guards all below
	publishing bool
	// since is when the publisher connected or unpublished. While it publishes, since
	// is when its last audio or video came.
	since   time.Time
	budget  int      // bytes that may still be read before publishing
	stopped *refusal // why reading must end; nil: it need not
	muted   bool     // writeFinal was called: later writes of go-rtmp are dropped

	writing sync.Mutex // one write at a time; each write is a whole number of chunks
}

func newClientConn(conn net.Conn, l Limits) *clientConn {
	// The first writes are those of a TLS handshake, which happens in Read.
	_ = conn.SetWriteDeadline(time.Now().Add(l.PublishTimeout))
	return &clientConn{conn: conn, limits: l, since: time.Now(), budget: l.MaxBytesBeforePublish}
}

// Read reads within the present deadline and budget. An error is a *refusal or comes
// from the connection.
func (w *clientConn) Read(b []byte) (int, error) {
	w.mu.Lock()
	if w.stopped != nil {
		w.mu.Unlock()
		return 0, w.stopped
	}
	if !w.publishing {
		if w.budget == 0 {
			w.mu.Unlock()
			return 0, refuse(ReasonTooMuchBeforehand, "more than %d bytes sent before publishing", w.limits.MaxBytesBeforePublish)
		}
		b = b[:min(len(b), w.budget)]
	}
	// The deadline counts from since. If it counted from now, a client that sends a
	// byte at a time would never reach it. It is set under the mutex, so that it can't
	// undo the deadline that stop sets.
	deadline := w.since.Add(w.limits.PublishTimeout)
	if w.publishing {
		deadline = w.since.Add(w.limits.IdleTimeout)
	}
	err := w.conn.SetReadDeadline(deadline)
	w.mu.Unlock()
	if err != nil {
		return 0, err
	}

	n, err := w.conn.Read(b)
	w.received += uint32(n)

	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.publishing {
		w.budget = max(0, w.budget-n)
	}
	switch {
	case err == nil:
		return n, nil
	case w.stopped != nil:
		return n, w.stopped
	case errors.Is(err, os.ErrDeadlineExceeded) && w.publishing:
		r := refuse(ReasonIdle, "no audio or video for %v", w.limits.IdleTimeout)
		r.end = stream.EndTimeout
		return n, r
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, refuse(ReasonPublishTimeout, "no publishing within %v", w.limits.PublishTimeout)
	}
	return n, err
}

// Write writes whole chunks. After writeFinal it drops them.
func (w *clientConn) Write(b []byte) (int, error) {
	w.mu.Lock()
	muted := w.muted
	w.mu.Unlock()
	if muted {
		return len(b), nil
	}
	return w.write(b)
}

func (w *clientConn) write(b []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.limits.WriteTimeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}

// writeFinal writes b. Everything written later is dropped.
func (w *clientConn) writeFinal(b []byte) {
	w.mu.Lock()
	muted := w.muted
	w.muted = true
	w.mu.Unlock()
	if !muted {
		_, _ = w.write(b) // the connection ends in any case
	}
}

// publish gives the client a publisher's deadline, without a byte budget. unpublish
// gives back the budget and the deadline of a new client.
func (w *clientConn) publish() { w.begin(true) }

func (w *clientConn) unpublish() { w.begin(false) }

func (w *clientConn) begin(publishing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.publishing, w.since, w.budget = publishing, time.Now(), w.limits.MaxBytesBeforePublish
}

// media records that audio or video has come.
func (w *clientConn) media() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
}

// stop makes the present Read and all later ones return r. Only the first call counts.
func (w *clientConn) stop(r *refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped == nil {
		w.stopped = r
		_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// lingerTime and lingerBytes bound how long a refused client may go on sending while it reads why.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// close closes the connection. If linger is true, it first closes only its own
// direction and reads on for a moment. Closing with unread data would send a reset,
// which discards the status message before the client has read it.
func (w *clientConn) close(linger bool) {
	defer w.conn.Close()
	half, ok := w.conn.(interface{ CloseWrite() error })
	if !linger || !ok {
		return
	}
	w.mu.Lock()
	killed := w.stopped != nil && w.stopped.reason == ReasonShuttingDown
	w.mu.Unlock()
	if killed {
		return
	}
	_ = w.conn.SetDeadline(time.Now().Add(lingerTime))
	if half.CloseWrite() != nil {
		return
	}
	b := make([]byte, 4<<10)
	for read := 0; read < lingerBytes; {
		n, err := w.conn.Read(b)
		if err != nil {
			return
		}
		read += n
	}
}
