package e2e_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A scope owns what outlives a test, such as the browser. Its log lines go to the current test.
type scope struct {
	mediatest.Cleanups

	mu sync.Mutex // guards t
	t  *testing.T // nil: there is none
}

// enter makes t the current test until t ends.
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

func (s *scope) Helper() {}

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
