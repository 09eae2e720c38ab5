package mediatest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Events are server-sent events that a test reads.
type Events struct {
	t     TB
	body  io.ReadCloser
	lines *bufio.Scanner
	stop  context.CancelFunc
}

// FollowEvents asks for the events at url, for at most 30 s.
func FollowEvents(t TB, url string) *Events {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if ct := answer.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q, status %s", ct, answer.Status)
	}
	return &Events{t, answer.Body, bufio.NewScanner(answer.Body), stop}
}

// Close leaves.
func (e *Events) Close() {
	e.stop()
	_ = e.body.Close()
}

// Begun waits until the server has sent something, which may be a comment.
func (e *Events) Begun() {
	e.t.Helper()
	if !e.lines.Scan() {
		e.t.Fatalf("the server sends nothing: %v", e.lines.Err())
	}
}

// Next reads until the next event of that name, and decodes it into v.
func (e *Events) Next(name string, v any) {
	e.t.Helper()
	for {
		got, data := e.next()
		if got == "" {
			e.t.Fatalf("no event %s: %v", name, e.lines.Err())
		}
		if got == name {
			e.decode(name, data, v)
			return
		}
	}
}

// NextName reads the next event, decodes it into v, and returns its name.
func (e *Events) NextName(v any) string {
	e.t.Helper()
	name, data := e.next()
	if name == "" {
		e.t.Fatalf("no further event: %v", e.lines.Err())
	}
	e.decode(name, data, v)
	return name
}

// Ends reads to the end of the events, which the server must make.
func (e *Events) Ends() {
	e.t.Helper()
	for e.lines.Scan() {
	}
	if err := e.lines.Err(); err != nil {
		e.t.Fatalf("the events do not end: %v", err)
	}
}

// next returns the next event; an empty name: there is none.
func (e *Events) next() (name, data string) {
	for e.lines.Scan() {
		line := e.lines.Text()
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			name = event
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && name != "" {
			return name, data
		}
	}
	return "", ""
}

func (e *Events) decode(name, data string, v any) {
	e.t.Helper()
	if err := json.Unmarshal([]byte(data), v); err != nil {
		e.t.Fatalf("event %s: %v in %q", name, err, data)
	}
}
