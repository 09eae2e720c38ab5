package recovery

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// window is how long a panic counts towards the limit of its stack. The same stack is logged at
	// most once in a window.
	window = time.Minute
	// limit is the number of panics with one stack within window after which the Recovery gives up.
	limit = 3
	// identity is how many of the innermost frames identify a stack. The sender of the input
	// chooses the depth of a recursion, and a different depth must not make a stack new.
	identity = 8
	// maxStacks bounds the stacks that are remembered, and so the stacks that are logged within
	// window.
	maxStacks = 64
	// maxStack bounds the logged text of one stack, in bytes.
	maxStack = 16 << 10
)

// Config configures a Recovery.
type Config struct {
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Panics counts panics by the place that Do was given. Default: a counter that nobody reads.
	Panics *prometheus.CounterVec
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// A Recovery is for one server. Its methods may be called from any goroutine. A nil *Recovery
// recovers nothing: a panic ends the process, which is what tests want.
type Recovery struct {
	cfg     Config
	givenUp chan struct{}

	mu     sync.Mutex // guards all below
	stacks map[string]*occurrences
	reason error
}

// occurrences has the panics with one stack.
type occurrences struct {
	recent []time.Time // the last panics within window, at most limit of them
	logged time.Time
}

// New returns a Recovery.
func New(cfg Config) *Recovery {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Panics == nil {
		cfg.Panics = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "panics"}, []string{"where"})
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Recovery{cfg: cfg, givenUp: make(chan struct{}), stacks: make(map[string]*occurrences)}
}

// A PanicError is a panic that was recovered.
type PanicError struct {
	// Value is the argument of panic.
	Value any
	// Shared reports whether the panic unwound through a Mutex, so that state of other sessions may
	// be damaged.
	Shared bool
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Is reports whether err is, or wraps, a panic that was recovered.
func Is(err error) bool {
	var p *PanicError
	return errors.As(err, &p)
}

// Do runs work. It returns a *PanicError if work panics, else nil. where is a word for the log and
// for the metric's label: a constant, such as "whip".
func (r *Recovery) Do(where string, work func()) (err error) {
	if r == nil {
		work()
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			err = r.Note(where, value)
		}
	}()
	work()
	return nil
}

// Caught sets err to a *PanicError if the caller panics. It is for functions that run too often for
// a closure, and must itself be deferred: defer r.Caught("where", &err).
func (r *Recovery) Caught(where string, err *error) {
	if r == nil {
		return
	}
	if value := recover(); value != nil {
		*err = r.Note(where, value)
	}
}

// Handler returns a handler that calls h. A panic of h ends the request. http.ErrAbortHandler ends
// the request too. It is not counted as a panic, since it only says that the client has gone.
func (r *Recovery) Handler(where string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var aborted any
		err := r.Do(where, func() {
			defer func() {
				if aborted = recover(); aborted != nil && aborted != http.ErrAbortHandler { //nolint:errorlint // the value itself, as net/http compares it
					panic(aborted) // keeps the stack of the first panic
				}
			}()
			h.ServeHTTP(w, req)
		})
		if err != nil || aborted != nil {
			panic(http.ErrAbortHandler) // the answer that was written so far is of no use
		}
	})
}

// GivenUp returns a channel that is closed when the process should end because its state may be
// damaged. Reason then returns why.
func (r *Recovery) GivenUp() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.givenUp
}

// Reason returns why the Recovery has given up; nil: it has not.
func (r *Recovery) Reason() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

// Note notes a panic that its caller, a deferred function, has recovered. value is what recover
// returned. r must not be nil.
func (r *Recovery) Note(where string, value any) *PanicError {
	e := &PanicError{Value: value}
	if shared, ok := value.(*sharedPanic); ok {
		e.Value, e.Shared = shared.value, true
	}
	r.cfg.Panics.WithLabelValues(where).Inc()
	stack := identify()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	o := r.occurrences(stack, now)
	if now.Sub(o.logged) >= window {
		o.logged = now
		text := debug.Stack()
		r.cfg.Logger.Error("panic", "where", where, "panic", fmt.Sprint(e.Value), "shared", e.Shared,
			"stack", string(text[:min(len(text), maxStack)]))
	}
	switch n := o.add(now); {
	case e.Shared:
		r.giveUp(fmt.Errorf("a panic in %s may have damaged what several sessions share: %v", where, e.Value))
	case n >= limit:
		r.giveUp(fmt.Errorf("the panic in %s came %d times within %v: %v", where, limit, window, e.Value))
	}
	return e
}

// giveUp closes givenUp. r.mu must be held.
func (r *Recovery) giveUp(reason error) {
	if r.reason != nil {
		return
	}
	r.reason = reason
	r.cfg.Logger.Error("the server gives up: it switches to the other pod and exits", "reason", reason)
	close(r.givenUp)
}

// occurrences returns the panics with one stack. If there are too many stacks, all others are
// counted and logged as one. r.mu must be held.
func (r *Recovery) occurrences(stack string, now time.Time) *occurrences {
	if r.stacks[stack] == nil && len(r.stacks) >= maxStacks {
		for known, o := range r.stacks {
			if now.Sub(o.recent[len(o.recent)-1]) > window {
				delete(r.stacks, known)
			}
		}
		if len(r.stacks) >= maxStacks {
			stack = "others"
		}
	}
	o := r.stacks[stack]
	if o == nil {
		o = &occurrences{}
		r.stacks[stack] = o
	}
	return o
}

// add counts a panic at now, and returns how many there were within window.
func (o *occurrences) add(now time.Time) int {
	o.recent = slices.DeleteFunc(o.recent, func(t time.Time) bool { return now.Sub(t) > window })
	if len(o.recent) == limit {
		o.recent = o.recent[1:]
	}
	o.recent = append(o.recent, now)
	return len(o.recent)
}

// identify returns the innermost frames of the panic that is being recovered: the frames after the
// last runtime.gopanic.
func identify() string {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var innermost []string
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.gopanic" {
			innermost = innermost[:0] // this panic was passed on: the first panic counts
		} else if len(innermost) < identity {
			innermost = append(innermost, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		}
		if !more {
			return strings.Join(innermost, "\n")
		}
	}
}
