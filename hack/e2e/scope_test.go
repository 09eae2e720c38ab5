package e2e_test

import (
	"fmt"
	"sync"
	"testing"
)

// A scope is what things belong to that outlive a test, such as the browser: what they say
// goes to the test under way.
type scope struct {
	mu       sync.Mutex // guards all below
	t        *testing.T // nil: none
	cleanups []func()
}

// enter makes t the test under way until it ends.
func (s *scope) enter(t *testing.T) {
	s.mu.Lock()
	before := s.t
	s.t = t
	s.mu.Unlock()
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.t = before
	})
}

// leave ends what belongs to the scope, the last first.
func (s *scope) leave() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}

func (s *scope) Helper() {}

func (s *scope) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *scope) Logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t != nil {
		s.t.Logf(format, args...)
	}
}

func (s *scope) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t != nil {
		s.t.Errorf(format, args...)
	}
}

func (s *scope) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

func (s *scope) Fatalf(format string, args ...any) {
	s.mu.Lock()
	t := s.t
	s.mu.Unlock()
	if t == nil {
		panic(fmt.Sprintf(format, args...))
	}
	t.Fatalf(format, args...)
}

func (s *scope) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.t != nil && s.t.Failed()
}
