package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// streamedAnswer is what a client of an event stream has received.
type streamedAnswer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (*streamedAnswer) Header() http.Header              { return http.Header{} }
func (*streamedAnswer) WriteHeader(int)                  {}
func (*streamedAnswer) Flush()                           {}
func (*streamedAnswer) SetWriteDeadline(time.Time) error { return nil }
func (a *streamedAnswer) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(b)
}

func (a *streamedAnswer) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Count(a.text.String(), what)
}

func TestAQuietServerStillShowsSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		answer := &streamedAnswer{}
		request := httptest.NewRequest(http.MethodGet, "/v1/events", nil).WithContext(ctx)
		go NewCommands(&backend{changed: make(chan struct{})}).ServeHTTP(answer, request)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if got := answer.count("event: status\n"); got != 3 {
			t.Errorf("%d statuses in 29 s, want one at first and one each 10 s", got)
		}
		if got := answer.count(":\n"); got < 8 {
			t.Errorf("%d comments in 29 s, want one each 3 s", got)
		}
	})
}
