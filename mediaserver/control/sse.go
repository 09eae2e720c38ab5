package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// writeTimeout is how long a client may take to accept an event before it is dropped.
const writeTimeout = 5 * time.Second

// errNoStreaming means that the server was wrapped in something that buffers.
var errNoStreaming = errors.New("the connection cannot stream events")

// eventStream writes server-sent events (WHATWG HTML, section 9.2).
type eventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newEventStream(w http.ResponseWriter) *eventStream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	return &eventStream{w, http.NewResponseController(w)}
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
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return errNoStreaming
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return s.rc.Flush()
}
