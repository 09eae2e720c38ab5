package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// damagedDrain bounds the drain of a server whose state may be damaged: the peer plays
	// on, and what stays here may be wrong.
	damagedDrain = 15 * time.Second
	// stepTimeout bounds one step of that drain, which may wait for a lock that nobody
	// gives back.
	stepTimeout = time.Second
	// endTimeout is how long the server then has to close all it has open.
	endTimeout = 5 * time.Second
)

// ErrGaveUp is wrapped by Run's error when the server ended by itself, because a panic may
// have damaged its state.
var ErrGaveUp = errors.New("the server gave up after a panic, so that the other pod plays on; report this with the log")

// Run serves until ctx ends, and returns why it stopped. It also ends by itself, with an
// ErrGaveUp, when a panic may have damaged more than the session that caused it. It drains
// then as when ctx ends, but returns in bounded time, whatever still runs: the process must
// exit.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	select {
	case err := <-ended:
		if reason := s.recovery.Reason(); reason != nil {
			return fmt.Errorf("%w: %w", ErrGaveUp, reason)
		}
		return err
	case <-s.recovery.GivenUp():
	}
	stop()
	limit := time.NewTimer(s.drainTimeout() + endTimeout)
	defer limit.Stop()
	select {
	case <-ended: //nolint:errcheck // the reason is told below
	case <-limit.C:
		s.log.Error("the server has not ended in time: what is left of it ends with the process")
	}
	return fmt.Errorf("%w: %w", ErrGaveUp, s.recovery.Reason())
}

// drainTimeout is how long the server drains at most.
func (s *Server) drainTimeout() time.Duration {
	if s.recovery.Reason() != nil {
		return min(s.cfg.DrainTimeout, damagedDrain)
	}
	return s.cfg.DrainTimeout
}

// drainSafely is drain; a panic, of state that is damaged, ends the drain.
func (s *Server) drainSafely(ending, serving context.Context) (err error) {
	if panicked := s.recovery.Do("drain", func() { err = s.drain(ending, serving) }); panicked != nil {
		return panicked
	}
	return err
}

// attempt does one step of the drain. Where the state may be damaged the step may panic, or
// wait for ever, and the next ones are done all the same.
func (s *Server) attempt(step func()) {
	if s.recovery.Reason() == nil {
		step()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.recovery.Do("drain", step)
	}()
	select {
	case <-done:
	case <-time.After(stepTimeout):
	}
}
