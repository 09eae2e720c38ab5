package recovery

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A recoveryTest is a Recovery with a clock, a log and a metric that a test can read.
type recoveryTest struct {
	*Recovery
	now    time.Time
	log    strings.Builder
	panics *prometheus.CounterVec
}

func newRecoveryTest() *recoveryTest {
	g := &recoveryTest{now: time.Unix(0, 0), panics: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "panics"}, []string{"where"})}
	g.Recovery = New(Config{
		Logger: slog.New(slog.NewTextHandler(&g.log, nil)), Panics: g.panics, Now: func() time.Time { return g.now },
	})
	return g
}

func (g *recoveryTest) hasGivenUp() bool {
	select {
	case <-g.GivenUp():
		return true
	default:
		return false
	}
}

// broken and damaged panic with two different stacks.
func broken()  { panic("broken") }
func damaged() { panic(errors.New("damaged")) }

// descend panics after it has called itself n times.
func descend(n int) {
	if n == 0 {
		broken()
	}
	descend(n - 1)
}

func underLock(m sync.Locker, work func()) func() {
	return func() {
		m.Lock()
		defer m.Unlock()
		work()
	}
}

func underReadLock(m *RWMutex, work func()) func() {
	return func() {
		m.RLock()
		defer m.RUnlock()
		work()
	}
}

func TestWhenTheServerGivesUp(t *testing.T) {
	var mutex Mutex
	var readWrite RWMutex
	type step struct {
		work  func()
		after time.Duration
		want  bool
	}
	nilMap := func() {
		m := map[string]map[string]int{}
		m["a"]["b"] = 1
	}
	tests := map[string][]step{
		"work that does not panic":               {{func() {}, 0, false}},
		"one panic":                              {{broken, 0, false}},
		"the third of one stack in a minute":     {{broken, 0, false}, {broken, 30 * time.Second, false}, {broken, 30 * time.Second, true}},
		"the third of one stack, but later":      {{broken, 0, false}, {broken, 30 * time.Second, false}, {broken, 31 * time.Second, false}},
		"three stacks":                           {{broken, 0, false}, {damaged, 0, false}, {nilMap, 0, false}},
		"one stack, whatever the recursion":      {{func() { descend(20) }, 0, false}, {func() { descend(40) }, 0, false}, {func() { descend(60) }, 0, true}},
		"under a shared lock":                    {{underLock(&mutex, broken), 0, true}},
		"under two shared locks":                 {{underLock(&mutex, underLock(&readWrite, broken)), 0, true}},
		"while shared state is read":             {{underReadLock(&readWrite, nilMap), 0, true}},
		"under a lock of the session's own":      {{underLock(&sync.Mutex{}, broken), 0, false}},
		"after a shared lock was released":       {{func() { underLock(&mutex, func() {})(); broken() }, 0, false}},
		"work under a shared lock that is whole": {{underLock(&mutex, func() {}), 0, false}, {underLock(&readWrite, func() {}), 0, false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRecoveryTest()
			for i, s := range steps {
				g.now = g.now.Add(s.after)
				_ = g.Do("test", s.work)
				if got := g.hasGivenUp(); got != s.want {
					t.Fatalf("after step %d the server has given up: %v", i, got)
				}
				if (g.Reason() != nil) != s.want {
					t.Fatalf("after step %d the reason is %v", i, g.Reason())
				}
			}
			// The server can still take the lock for its planned switch.
			for _, lock := range []sync.Locker{&mutex, &readWrite} {
				func() {
					lock.Lock()
					defer lock.Unlock()
				}()
			}
		})
	}
}

func TestAPanicIsReturnedCountedAndLoggedWithItsStack(t *testing.T) {
	g := newRecoveryTest()
	err := g.Do("whip", underLock(&sync.Mutex{}, damaged))
	var p *PanicError
	if !errors.As(err, &p) || p.Shared || !Is(fmt.Errorf("session: %w", err)) || err.Error() != "panic: damaged" {
		t.Errorf("got %v", err)
	}
	if n := testutil.ToFloat64(g.panics.WithLabelValues("whip")); n != 1 {
		t.Errorf("counted %v panics", n)
	}
	for _, want := range []string{"level=ERROR", "where=whip", "panic=damaged", "recovery.damaged", "underLock"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, g.log.String())
		}
	}
	if Is(errors.New("no panic")) || Is(nil) {
		t.Error("an error that is no panic is taken for one")
	}
}

func TestTheStackOfAPanicUnderASharedLockIsThatOfItsOrigin(t *testing.T) {
	g := newRecoveryTest()
	var m Mutex
	_ = g.Do("test", underLock(&m, damaged))
	if !strings.Contains(g.log.String(), "recovery.damaged") {
		t.Errorf("the log lacks the origin: %s", g.log.String())
	}
}

func TestTheLogIsBounded(t *testing.T) {
	g := newRecoveryTest()
	for range 1000 {
		g.now = g.now.Add(10 * time.Millisecond)
		_ = g.Do("test", broken)
	}
	if n := strings.Count(g.log.String(), "msg=panic"); n != 1 {
		t.Errorf("the same stack was logged %d times within a minute", n)
	}
	g.now = g.now.Add(window)
	_ = g.Do("test", broken)
	if n := strings.Count(g.log.String(), "msg=panic"); n != 2 {
		t.Errorf("the stack was logged %d times; want once a minute", n)
	}
}

func TestStacksAreRememberedForAMinuteAndWithinABound(t *testing.T) {
	r := New(Config{})
	now := time.Unix(0, 0)
	for i := range 10 * maxStacks {
		r.occurrences(fmt.Sprint(i), now).add(now)
	}
	if n := len(r.stacks); n > maxStacks+1 {
		t.Errorf("%d stacks are remembered", n)
	}
	later := now.Add(window + time.Second)
	r.occurrences("new", later).add(later)
	if n := len(r.stacks); n != 1 {
		t.Errorf("%d stacks are remembered after a minute", n)
	}
}

func TestHandler(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		broken  bool // whether the client gets no answer
		panics  float64
	}{
		"an answer":                 {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, false, 0},
		"a panic":                   {func(http.ResponseWriter, *http.Request) { broken() }, true, 1},
		"a panic within the answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a")); broken() }, true, 1},
		"a client that has gone":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRecoveryTest()
			s := httptest.NewServer(g.Handler("http", test.handler))
			defer s.Close()
			res, err := http.Get(s.URL)
			if err == nil {
				res.Body.Close()
			}
			if (err != nil) != test.broken {
				t.Errorf("the client got %v, %v", res, err)
			}
			s.Close() // waits for the handler, which may still log
			if n := testutil.ToFloat64(g.panics.WithLabelValues("http")); n != test.panics {
				t.Errorf("counted %v panics", n)
			}
			if test.panics > 0 && !strings.Contains(g.log.String(), "recovery.broken") {
				t.Errorf("the log lacks the origin: %s", g.log.String())
			}
		})
	}
}

func TestCaught(t *testing.T) {
	g := newRecoveryTest()
	work := func() (err error) {
		defer g.Caught("test", &err)
		broken()
		return nil
	}
	if err := work(); !Is(err) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutARecoveryAPanicPasses(t *testing.T) {
	defer func() {
		if recover() != "broken" {
			t.Error("the panic did not pass")
		}
	}()
	var none *Recovery
	_ = none.Do("test", broken)
}

func BenchmarkMutex(b *testing.B) {
	work := func(m sync.Locker) {
		m.Lock()
		defer m.Unlock()
	}
	b.Run("sync", func(b *testing.B) {
		var m sync.Mutex
		for b.Loop() {
			work(&m)
		}
	})
	b.Run("shared", func(b *testing.B) {
		var m Mutex
		for b.Loop() {
			work(&m)
		}
	})
}
