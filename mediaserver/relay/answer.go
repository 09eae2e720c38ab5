package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/tcp"
)

// errSlow ends the answer to a player that takes its stream too slowly.
var errSlow = errors.New("the player takes the stream too slowly")

// writeChunk is how many bytes of an answer are written within one writeTimeout. So a reader that
// is slow, but accepts some data, does not count as hanging, however much is to be sent at once.
const writeChunk = 64 << 10

// An answer is an endless response. A reader that accepts no data is given up. An answer is for one
// goroutine.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// limit is when a player must have taken the data that is being written; zero: only
	// writeTimeout applies. deadline is the last write deadline that was set.
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

// Write writes b in parts of writeChunk.
func (a *answer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), writeChunk)]
		if err := a.extendDeadline(); err != nil {
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

// sent calls write and flushes what it has written.
func (a *answer) sent(write func() error) error {
	if err := write(); err != nil {
		return err
	}
	if err := a.extendDeadline(); err != nil {
		return err
	}
	err := a.rc.Flush()
	if err == nil {
		a.limit = time.Time{} // the limit was for the data that has been sent now
	}
	return err
}

// extendDeadline gives the reader another writeTimeout, but no longer than the limit.
func (a *answer) extendDeadline() error {
	a.deadline = time.Now().Add(writeTimeout)
	if !a.limit.IsZero() && a.limit.Before(a.deadline) {
		a.deadline = a.limit
	}
	return a.rc.SetWriteDeadline(a.deadline)
}

// stalled reports whether err, the error of a write, means that the reader did not take the data in
// time. HTTP/2 has no error that tells this, so the deadline is checked.
func (a *answer) stalled(err error) bool {
	return errors.Is(err, errSlow) || err != nil && !a.deadline.IsZero() && !time.Now().Before(a.deadline)
}

// abandon drops the data that waits for a reader that does not read. A connection of HTTP/2 stays,
// because it may have other streams.
func (a *answer) abandon(r *http.Request) {
	if r.ProtoMajor == 1 {
		a.conn.Abort()
	}
}
