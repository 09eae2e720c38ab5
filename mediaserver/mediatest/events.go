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

// Next reads until the next event of that name, and decodes it into v.
func (e *Events) Next(name string, v any) {
	e.t.Helper()
	found := false
	for e.lines.Scan() {
		line := e.lines.Text()
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			found = event == name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && found {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				e.t.Fatalf("event %s: %v in %q", name, err, data)
			}
			return
		}
	}
	e.t.Fatalf("no event %s: %v", name, e.lines.Err())
}
