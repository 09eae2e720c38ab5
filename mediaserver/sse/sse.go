// Package sse writes server-sent events (WHATWG HTML, section 9.2). A client that does not read its
// events is ended. Start with NewStream.
package sse

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/tcp"
)

// writeTimeout bounds the age of the oldest event that waits for a client.
const writeTimeout = 5 * time.Second

// errNoStreaming says that the server is wrapped in a handler that buffers.
var errNoStreaming = errors.New("the connection cannot stream events")

// ErrStalled says that the client does not read.
var ErrStalled = errors.New("the client does not read its events")

// A Stream is an endless answer of events. A Stream is for one goroutine.
type Stream struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	conn    *tcp.Conn // nil: the connection is unknown
	backlog *tcp.Backlog
	began   time.Time
}

// NewStream begins the answer to r.
func NewStream(w http.ResponseWriter, r *http.Request) *Stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	conn := tcp.FromContext(r.Context())
	return &Stream{w: w, rc: http.NewResponseController(w), conn: conn, backlog: tcp.NewBacklog(conn), began: time.Now()}
}

// Send writes one event whose data is v as JSON.
func (s *Stream) Send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

// Comment writes a line that clients skip. It shows that the server is alive.
func (s *Stream) Comment() error { return s.write(":\n") }

func (s *Stream) write(text string) error {
	now := time.Since(s.began)
	limit := s.backlog.Due(now) + writeTimeout
	if now > limit {
		return ErrStalled
	}
	if err := s.rc.SetWriteDeadline(s.began.Add(limit)); err != nil {
		return errNoStreaming
	}
	_, err := io.WriteString(s.w, text)
	if err == nil {
		err = s.rc.Flush()
	}
	switch {
	case err == nil:
		s.backlog.Mark(now)
		return nil
	case time.Since(s.began) >= limit:
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return fmt.Errorf("write event: %w", err)
}

// Abandon drops what waits for a client that does not read. An
// HTTP/2 connection is kept, because it may have other streams.
func (s *Stream) Abandon(r *http.Request) {
	if r.ProtoMajor == 1 {
		s.conn.Abort()
	}
}
