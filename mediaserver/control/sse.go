package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/tcp"
)

// writeTimeout is how old the oldest event may become that waits for a client.
const writeTimeout = 5 * time.Second

// errNoStreaming means that the server was wrapped in something that buffers.
var errNoStreaming = errors.New("the connection cannot stream events")

// errStalled means that the client does not read.
var errStalled = errors.New("the client does not read its events")

// eventStream writes server-sent events (WHATWG HTML, section 9.2).
type eventStream struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	conn    *tcp.Conn // nil: the connection is unknown
	backlog *tcp.Backlog
	began   time.Time
}

func newEventStream(w http.ResponseWriter, r *http.Request) *eventStream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	conn := tcp.FromContext(r.Context())
	return &eventStream{w: w, rc: http.NewResponseController(w), conn: conn, backlog: tcp.NewBacklog(conn), began: time.Now()}
}

// send writes one event whose data is v as JSON.
func (s *eventStream) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

// comment writes a line that readers skip: the server is there.
func (s *eventStream) comment() error { return s.write(":\n") }

func (s *eventStream) write(text string) error {
	now := time.Since(s.began)
	limit := s.backlog.Due(now) + writeTimeout
	if now > limit {
		return errStalled
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
		return fmt.Errorf("%w: %w", errStalled, err)
	}
	return fmt.Errorf("write event: %w", err)
}

// abandon drops what waits for a client that does not read. A connection of HTTP/2 stays,
// because it may have other streams.
func (s *eventStream) abandon(r *http.Request) {
	if r.ProtoMajor == 1 {
		s.conn.Abort()
	}
}
