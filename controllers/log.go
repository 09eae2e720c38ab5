package controllers

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// While an API server is away each pair fails every few
	// seconds. 500 pairs would log a hundred equal lines a second.
	// At most maxLoggedErrors errors are logged in each logPeriod.
	maxLoggedErrors = 20
	logPeriod       = 10 * time.Second
)

// logConstructor returns a function that makes the loggers
// of reconciles. One limit bounds the errors of all of them.
func logConstructor(log logr.Logger, limit *logLimit) func(*reconcile.Request) logr.Logger {
	log = log.WithValues("controller", ControllerName, "controllerGroup", v1alpha1.GroupVersion.Group, "controllerKind", v1alpha1.Kind)
	if sink := log.GetSink(); sink != nil {
		log = log.WithSink(boundedSink{sink, limit})
	}
	return func(request *reconcile.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues("namespace", request.Namespace, "name", request.Name)
	}
}

// A logLimit counts errors and lets some of them through.
type logLimit struct {
	now func() time.Time

	mu      sync.Mutex
	since   time.Time // guarded by mu, as are the fields below
	passed  int
	dropped int
}

func newLogLimit(now func() time.Time) *logLimit { return &logLimit{now: now} }

// pass reports whether to log one more error, and how many errors were left out before it.
func (l *logLimit) pass() (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.since) >= logPeriod {
		l.since, l.passed = now, 0
	}
	if l.passed == maxLoggedErrors {
		l.dropped++
		return false, 0
	}
	l.passed++
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}

// A boundedSink drops errors beyond the limit, and passes on everything else.
type boundedSink struct {
	logr.LogSink
	limit *logLimit
}

func (s boundedSink) Error(err error, message string, values ...any) {
	ok, dropped := s.limit.pass()
	if !ok {
		return
	}
	if dropped > 0 {
		values = append(values[:len(values):len(values)], "leftOut", dropped)
	}
	s.LogSink.Error(err, message, values...)
}

func (s boundedSink) WithValues(values ...any) logr.LogSink {
	return boundedSink{s.LogSink.WithValues(values...), s.limit}
}

func (s boundedSink) WithName(name string) logr.LogSink {
	return boundedSink{s.LogSink.WithName(name), s.limit}
}

// WithCallDepth keeps the line numbers of log lines right.
func (s boundedSink) WithCallDepth(depth int) logr.LogSink {
	if inner, ok := s.LogSink.(logr.CallDepthLogSink); ok {
		return boundedSink{inner.WithCallDepth(depth), s.limit}
	}
	return s
}
