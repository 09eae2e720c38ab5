package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/tcp"
)

// errSlow ends a player that takes its stream too slowly.
var errSlow = errors.New("the player takes the stream too slowly")

// writeChunk is how much of an answer is written within one writeTimeout: a reader that is
// slow, but takes something, is not one that hangs, whatever is to be sent at once.
const writeChunk = 64 << 10

// An answer is a response without an end, on which a reader that takes nothing is
// given up. It is for one goroutine.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// limit is when a player must have taken what is written; zero: there is no limit but
	// writeTimeout. deadline is the last one set.
	limit, deadline time.Time
	conn            *tcp.Conn // nil: the connection is unknown
	backlog         *tcp.Backlog
}

func newAnswer(ctx context.Context, w http.ResponseWriter, contentType string) *answer {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold it back
	conn := tcp.FromContext(ctx)
	return &answer{w: w, rc: http.NewResponseController(w), conn: conn, backlog: tcp.NewBacklog(conn)}
}

// Write writes b, a part at a time.
func (a *answer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), writeChunk)]
		if err := a.putOff(); err != nil {
			return n, err
		}
		written, err := a.w.Write(part)
		n += written
		if err != nil {
			return n, err
		}
		b = b[len(part):]
	}
	return n, nil
}

// sent does what writes, and sends it at once.
func (a *answer) sent(write func() error) error {
	if err := write(); err != nil {
		return err
	}
	if err := a.putOff(); err != nil {
		return err
	}
	err := a.rc.Flush()
	if err == nil {
		a.limit = time.Time{} // it was that of what is sent now
	}
	return err
}

// putOff gives the reader another writeTimeout, within the limit.
func (a *answer) putOff() error {
	a.deadline = time.Now().Add(writeTimeout)
	if !a.limit.IsZero() && a.limit.Before(a.deadline) {
		a.deadline = a.limit
	}
	return a.rc.SetWriteDeadline(a.deadline)
}

// stalled reports whether err, of a write, is that the reader did not take it in time.
// HTTP/2 gives no error by which that could be told.
func (a *answer) stalled(err error) bool {
	return errors.Is(err, errSlow) || err != nil && !a.deadline.IsZero() && !time.Now().Before(a.deadline)
}

// abandon drops what waits for a reader that does not read. A connection of HTTP/2 stays,
// because it may have other streams.
func (a *answer) abandon(r *http.Request) {
	if r.ProtoMajor == 1 {
		a.conn.Abort()
	}
}
