package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// damagedDrain bounds the drain of a server whose state may be
	// damaged. The peer plays on, and what is played here may be wrong.
	damagedDrain = 15 * time.Second
	// stepTimeout bounds one step of that drain. The
	// step may wait for a lock that nobody releases.
	stepTimeout = time.Second
	// endTimeout is how long the server then has to close all that it has open.
	endTimeout = 5 * time.Second
)

// ErrGaveUp is wrapped by Run's error when the server ended
// itself, because a panic may have damaged its state.
var ErrGaveUp = errors.New("the server gave up after a panic, so that the other pod plays on; report this with the log")

// Run serves until ctx ends, and returns why it stopped. It also ends, with an ErrGaveUp, when
// a panic may have damaged more than the session that caused it. It then drains as if ctx had
// ended. It returns in bounded time, whatever still runs. The process must exit after that.
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

// drainTimeout returns how long the server may drain.
func (s *Server) drainTimeout() time.Duration {
	if s.recovery.Reason() != nil {
		return min(s.cfg.DrainTimeout, damagedDrain)
	}
	return s.cfg.DrainTimeout
}

// drainSafely is drain. A panic, caused by damaged state, ends the drain.
func (s *Server) drainSafely(ending, serving context.Context) (err error) {
	if panicked := s.recovery.Do("drain", func() { err = s.drain(ending, serving) }); panicked != nil {
		return panicked
	}
	return err
}

// attempt runs one step of the drain. With damaged state the step may
// panic or wait for ever. The following steps are run all the same.
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
