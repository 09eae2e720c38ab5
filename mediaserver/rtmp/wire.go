package rtmp

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// wire is the socket with its deadlines, its budget and its end. Read is called by one
// goroutine; Write, stop and kill by any.
type wire struct {
	conn   net.Conn // TCP, or TLS over TCP
	limits Limits

	mu         sync.Mutex // guards all below
	publishing bool
	// since is when the publisher connected or unpublished, or, while publishing, when
	// its last audio or video came.
	since   time.Time
	budget  int      // bytes that may still be read before publishing
	stopped *refusal // why reading must end
	muted   bool     // the last word has been said: what go-rtmp still writes is dropped

	writing sync.Mutex // one write at a time; each is a whole number of chunks
}

func newWire(conn net.Conn, l Limits) *wire {
	// The first writes are those of a TLS handshake, which happens within a Read.
	_ = conn.SetWriteDeadline(time.Now().Add(l.PublishTimeout))
	return &wire{conn: conn, limits: l, since: time.Now(), budget: l.MaxBytesBeforePublish}
}

// Read reads within the deadline and the budget of the moment. Its errors are a
// *refusal or the connection's own.
func (w *wire) Read(b []byte) (int, error) {
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
	// Counted from since, not from now: a client that sends a byte at a time gains
	// nothing. Set under the mutex, so that it cannot undo stop's.
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

// Write writes whole chunks, or drops them once the wire is muted.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	muted := w.muted
	w.mu.Unlock()
	if muted {
		return len(b), nil
	}
	return w.write(b)
}

func (w *wire) write(b []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.limits.WriteTimeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}

// lastWord writes b and drops all that is written later.
func (w *wire) lastWord(b []byte) {
	w.mu.Lock()
	muted := w.muted
	w.muted = true
	w.mu.Unlock()
	if !muted {
		_, _ = w.write(b) // the connection ends anyway
	}
}

// publish gives the client a publisher's deadline and no budget; unpublish takes it
// back.
func (w *wire) publish() { w.begin(true) }

func (w *wire) unpublish() { w.begin(false) }

func (w *wire) begin(publishing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.publishing, w.since, w.budget = publishing, time.Now(), w.limits.MaxBytesBeforePublish
}

// media notes that audio or video has come.
func (w *wire) media() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
}

// stop makes the present Read, and all that follow, return r. The first call counts.
func (w *wire) stop(r *refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped == nil {
		w.stopped = r
		_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// lingerTime and lingerBytes bound how long a refused client may go on sending until
// it has read why.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// close closes the connection. If told to linger it first ends its own direction and
// reads on for a moment: closing with unread data sends a reset, which throws away the
// status message that the client has not read yet.
func (w *wire) close(linger bool) {
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
