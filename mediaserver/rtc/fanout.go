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
			wait = min(wait, v.serve(s.output.cfg.Now(), s.scratch))
		}
		clear(s.scratch) // lets go of the payloads
		timer.Reset(wait)
	}
}
