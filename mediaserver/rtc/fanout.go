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
	scratch []packet
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

// serve serves one viewer. A panic ends that viewer alone.
func (s *fanout) serve(v *Viewer) (wait time.Duration, err error) {
	defer s.output.cfg.Recovery.Caught(panicLabel, &err)
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
		// Each round begins with another viewer. Otherwise the rest of the egress rate
		// would always go to the same viewers.
		for i := range list {
			v := list[(i+turn)%len(list)]
			again, err := s.serve(v)
			if err != nil {
				v.end(ClosedFailed)
				continue
			}
			wait = min(wait, again)
		}
		clear(s.scratch) // releases the payloads
		timer.Reset(wait)
	}
}
