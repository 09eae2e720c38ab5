package rtc

import (
	"context"
	"sync/atomic"
	"time"
)

// A fanout is a goroutine that serves some of an Output's viewers.
type fanout struct {
	output  *Output
	wake    chan struct{}
	viewers atomic.Pointer[[]*Viewer] // replaced, never changed, under Output.mu
	scratch []packet
}

func newFanout(o *Output) *fanout {
	s := &fanout{output: o, wake: make(chan struct{}, 1), scratch: make([]packet, 32)}
	s.set(nil)
	return s
}

func (s *fanout) list() []*Viewer       { return *s.viewers.Load() }
func (s *fanout) set(viewers []*Viewer) { s.viewers.Store(&viewers) }

// signal makes the fanout look at its viewers.
func (s *fanout) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keepRunning runs the fanout until ctx ends. A panic that is no viewer's costs nobody the
// connection: the viewers go on from where they were.
func (s *fanout) keepRunning(ctx context.Context) error {
	for {
		var ended error
		err := s.output.cfg.Recovery.Do("output", func() { ended = s.run(ctx) })
		if err == nil {
			return ended
		}
		if s.output.cfg.Recovery.Reason() != nil {
			return err // or it would panic for as long as the server takes to end
		}
	}
}

// serve serves one viewer. A panic ends that viewer alone.
func (s *fanout) serve(v *Viewer) (wait time.Duration, err error) {
	defer s.output.cfg.Recovery.Caught(where, &err)
	return v.serve(s.output.cfg.Now(), s.scratch), nil
}

func (s *fanout) run(ctx context.Context) error {
	timer := time.NewTimer(idleInterval)
	defer timer.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-timer.C:
		}
		wait := idleInterval
		list := s.list()
		// Another viewer is first each time, so that what is left of the egress
		// rate does not always go to the same ones.
		for i := range list {
			v := list[(i+turn)%len(list)]
			again, err := s.serve(v)
			if err != nil {
				v.end(ClosedFailed)
				continue
			}
			wait = min(wait, again)
		}
		clear(s.scratch) // lets go of the payloads
		timer.Reset(wait)
	}
}
