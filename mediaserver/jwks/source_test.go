package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/hack/eventually"
)

func TestSchedule(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name                 string
		s                    schedule
		due, mayAsk, inForce bool
	}{
		{"never asked", schedule{}, true, true, false},
		{"asked a moment ago", schedule{asked: ago(time.Second), fetched: ago(time.Second)}, false, false, true},
		{"asked a minute ago", schedule{asked: ago(time.Minute), fetched: ago(time.Minute)}, false, true, true},
		{"asked five minutes ago", schedule{asked: ago(5 * time.Minute), fetched: ago(5 * time.Minute)}, true, true, true},
		{"failed a moment ago", schedule{asked: ago(time.Second), failed: true}, false, false, false},
		{"failed a minute ago", schedule{asked: ago(time.Minute), failed: true}, true, true, false},
		{"fails for 23 hours", schedule{asked: ago(time.Minute), failed: true, fetched: ago(23 * time.Hour)}, true, true, true},
		{"fails for 24 hours", schedule{asked: ago(time.Second), failed: true, fetched: ago(24 * time.Hour)}, false, false, false},
		{"keys of a peer, not yet asked", schedule{fetched: ago(time.Hour)}, true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.isDue(now); got != tt.due {
				t.Errorf("isDue is %v", got)
			}
			if got := tt.s.mayAsk(now); got != tt.mayAsk {
				t.Errorf("mayAsk is %v", got)
			}
			if got := tt.s.isValid(now); got != tt.inForce {
				t.Errorf("isValid is %v", got)
			}
		})
	}
}

// A site serves a key set.
type site struct {
	*httptest.Server
	requests atomic.Int64
	answer   atomic.Pointer[http.HandlerFunc]
}

func newSite(t *testing.T, answer http.HandlerFunc) *site {
	s := &site{}
	s.serve(answer)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(answer http.HandlerFunc) { s.answer.Store(&answer) }

func text(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

// source returns a source of the site, and runs its directory. change can change the configuration.
func (s *site) source(t *testing.T, change func(*Config)) *Source {
	t.Helper()
	cfg := Config{
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Logger: slog.New(slog.DiscardHandler),
		TLS: s.Client().Transport.(*http.Transport).TLSClientConfig,
	}
	if change != nil {
		change(&cfg)
	}
	d := NewDirectory(cfg)
	d.Use([]string{s.URL})
	source := d.Source(s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return source
}

func TestATokenIsTakenByTheKeysOfTheURL(t *testing.T) {
	known, other := newSigner(t, "known", jwt.SigningMethodES256), newSigner(t, "other", jwt.SigningMethodEdDSA)
	s := newSite(t, text(setOf(known.public(t))))
	source := s.source(t, nil)
	if err := check(source, known.token(t)); err != nil { // waits for the first fetch
		t.Fatal(err)
	}
	s.serve(text(setOf(known.public(t), other.public(t))))
	if err := check(source, other.token(t)); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that was added within a minute: %v", err)
	}
	source.mu.Lock()
	source.schedule.asked = source.schedule.asked.Add(-askAgainAfter)
	source.mu.Unlock()
	if err := check(source, other.token(t)); err != nil {
		t.Errorf("a key that was added more than a minute after the last fetch: %v", err)
	}
	if n := s.requests.Load(); n != 2 {
		t.Errorf("the URL was asked %d times", n)
	}
	// The URL fails, and the keys go on counting.
	s.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	source.mu.Lock()
	source.schedule.asked, source.schedule.fetched = time.Time{}, time.Now().Add(-validFor+time.Hour)
	source.mu.Unlock()
	eventually.True(t, "the failure is seen", func() bool { _, err := source.fault(); return err != nil })
	if err := check(source, other.token(t)); err != nil {
		t.Errorf("while the URL fails: %v", err)
	}
	source.mu.Lock()
	source.schedule.fetched = time.Now().Add(-validFor)
	source.mu.Unlock()
	if err := check(source, other.token(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after 24 hours: %v", err)
	}
}

// Strangers name 10,000 keys that do not exist.
func TestUnknownKeysCauseOneFetch(t *testing.T) {
	known := newSigner(t, "known", jwt.SigningMethodES256)
	s := newSite(t, text(setOf(known.public(t))))
	source := s.source(t, nil)
	if err := check(source, known.token(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if err := check(source, known.sign(t, known.method, fmt.Sprint("kid", i), known.key)); !errors.Is(err, ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := s.requests.Load(); n > 2 { // a slow machine may take more than a minute
		t.Errorf("the URL was asked %d times", n)
	}
}

func TestWhatAURLMayNotAnswer(t *testing.T) {
	elsewhere := newSite(t, text(nil))
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirects"},
		"an error":   {http.NotFound, "404"},
		"too much":   {text(make([]byte, 10<<20)), "more than 65536 bytes"},
		"no set":     {text([]byte("hello")), "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			source := newSite(t, tt.answer).source(t, nil)
			eventually.True(t, "the failure is seen", func() bool { _, err := source.fault(); return err != nil })
			if _, err := source.fault(); !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
			if cause := cause(func() error { _, err := source.fault(); return err }()); cause == "" || strings.Contains(cause, "127.0.0.1") {
				t.Errorf("the cause is %q", cause)
			}
			if err := check(source, newSigner(t, "x", jwt.SigningMethodEdDSA).token(t)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a token: %v", err)
			}
		})
	}
	if n := elsewhere.requests.Load(); n > 0 {
		t.Error("a redirect was followed")
	}
}

func TestPrivateAddressesAreNotCalled(t *testing.T) {
	s := newSite(t, text(nil))
	source := s.source(t, func(c *Config) { c.Networks = nil })
	eventually.True(t, "the failure is seen", func() bool { _, err := source.fault(); return err != nil })
	if _, err := source.fault(); !strings.Contains(err.Error(), "--jwks-networks") || s.requests.Load() > 0 {
		t.Errorf("%v, after %d requests", err, s.requests.Load())
	}
}

func TestAServerThatStartsTakesThePeersKeys(t *testing.T) {
	known := newSigner(t, "known", jwt.SigningMethodRS256)
	down := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	fetched := time.Now().Add(-time.Hour)
	source := down.source(t, func(c *Config) {
		c.Peers = func(context.Context) []Keys {
			return []Keys{
				{URL: "https://elsewhere.example", Fetched: fetched, Set: "{}"},
				{URL: down.URL, Fetched: fetched, Set: "broken"},
				{URL: down.URL, Fetched: fetched, Set: string(setOf(known.public(t)))},
			}
		}
	})
	eventually.True(t, "the token is taken", func() bool { return check(source, known.token(t)) == nil })
	if since, _ := source.fault(); !since.Equal(fetched) {
		t.Errorf("the keys count from %v, and the peer fetched them at %v", since, fetched)
	}
}
