package rtc

import (
	"context"
	"sync/atomic"
	"time"
)

// A fanout is a goroutine that serves some of an Output's viewers.
type fanout struct {
	output  *Output
	number  int // from 0
	wake    chan struct{}
	viewers atomic.Pointer[[]*Viewer] // replaced under Output.mu, never changed

	// Only the goroutine uses the following.
	scratch []packet
	load    workload
	first   int // number of the viewer with which the next round begins, modulo their number
}

func newFanout(o *Output, number int) *fanout {
	s := &fanout{output: o, number: number, wake: make(chan struct{}, 1), scratch: make([]packet, 32)}
	s.set(nil)
	return s
}

func (s *fanout) list() []*Viewer       { return *s.viewers.Load() }
func (s *fanout) set(viewers []*Viewer) { s.viewers.Store(&viewers) }

// signal makes the fanout serve its viewers.
func (s *fanout) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keepRunning runs the fanout until ctx ends. After a panic outside a viewer's own work it runs
// the fanout again. The viewers stay connected and go on from where they were.
func (s *fanout) keepRunning(ctx context.Context) error {
	for {
		var ended error
		err := s.output.cfg.Recovery.Do("output", func() { ended = s.run(ctx) })
		if err == nil {
			return ended
		}
		if s.output.cfg.Recovery.Reason() != nil {
			return err // or the fanout would panic again and again until the server has ended
		}
	}
}

// serve serves one viewer. With shed the viewer loses its pictures up to the next IDR. A panic ends
// that viewer alone.
func (s *fanout) serve(v *Viewer, now time.Duration, shed bool) (wait time.Duration, err error) {
	defer s.output.cfg.Recovery.Caught(panicLabel, &err)
	if shed {
		v.shed(now)
	}
	return v.serve(now, s.scratch), nil
}

func (s *fanout) run(ctx context.Context) error {
	timer := time.NewTimer(idleInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(s.round())
	}
}

// round serves all viewers once. It returns the longest time after which they must be served again.
//
// Each round begins with another viewer. Otherwise the rest of the egress rate would always go to
// the same viewers. After a round without time for all, the next round begins with the first viewer
// that lost its pictures.
func (s *fanout) round() (wait time.Duration) {
	list, next := s.list(), 0
	s.load.begin(s.output.cfg.Now())
	wait = idleInterval
	for i := range list {
		now := s.output.cfg.Now()
		shed := s.load.mustShed(now)
		if shed && next == 0 {
			next = i
		}
		v := list[(s.first+i)%len(list)]
		again, err := s.serve(v, now, shed)
		if err != nil {
			v.end(ClosedFailed)
			continue
		}
		wait = min(wait, again)
	}
	s.load.end(s.output.cfg.Now())
	s.first += max(1, next)
	clear(s.scratch) // releases the payloads
	return wait
}
