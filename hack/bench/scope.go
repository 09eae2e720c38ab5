package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A scope lets this program use the helpers of tests (mediatest.TB, kubetest.TB).
// What the helpers start ends with the scope, and a failure ends the measurement.
type scope struct {
	ctx context.Context //nolint:containedctx // it is the program's, as a test's is

	parent *scope // nil: none

	mediatest.Cleanups

	mu      sync.Mutex // guards failure
	failure error
}

func newScope(ctx context.Context) *scope { return &scope{ctx: ctx} }

// child returns a scope that is cleaned up by its own CleanUp, or with s.
func (s *scope) child() *scope {
	c := newScope(s.ctx)
	c.parent = s
	s.Cleanup(c.CleanUp)
	return c
}

// try runs f, which may fail by Fatalf, and returns that failure.
func (s *scope) try(f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

func (s *scope) Helper() {}

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp("", "streampair-bench")
	s.must(err)
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *scope) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (s *scope) Errorf(format string, args ...any) {
	if s.parent != nil {
		s.parent.Errorf(format, args...)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = errors.Join(s.failure, fmt.Errorf(format, args...))
}

func (s *scope) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

func (s *scope) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

func (s *scope) Failed() bool {
	if s.parent != nil {
		return s.parent.Failed()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure != nil
}

func (s *scope) must(err error) {
	if err != nil {
		s.Fatalf("%v", err)
	}
}

// sleep waits. It fails if the program is told to end.
func (s *scope) sleep(d time.Duration) {
	select {
	case <-s.ctx.Done():
		s.Fatalf("interrupted")
	case <-time.After(d):
	}
}

// until waits until the condition holds.
func (s *scope) until(what string, condition func() bool) { s.within(30*time.Second, what, condition) }

// within waits until the condition holds. It ends the goroutine if something else has failed.
func (s *scope) within(limit time.Duration, what string, condition func() bool) {
	for deadline := time.Now().Add(limit); !condition(); s.sleep(10 * time.Millisecond) {
		if s.Failed() {
			runtime.Goexit()
		}
		if time.Now().After(deadline) {
			s.Fatalf("did not happen within %v: %s", limit, what)
		}
	}
}

// say prints what is being measured.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
