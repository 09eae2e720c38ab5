package server

import (
	"context"
	"time"
)

// drainInterval is how often a draining server looks whether its viewers have gone.
const drainInterval = 100 * time.Millisecond

// drain waits until the server is told to end (ending is done) or fails (serving is), and
// in the first case for its viewers to leave, at most --drain-timeout. New publishers and
// viewers are refused meanwhile; players are told to open their connection anew, which
// behind a Service leads to another pod, and leave when that one plays. Publishers go on
// until the end: their encoders would come back at once to the same place.
func (s *Server) drain(ending, serving context.Context) error {
	select {
	case <-serving.Done():
		return serving.Err()
	case <-ending.Done():
	}
	if s.cfg.DrainTimeout == 0 {
		return ending.Err()
	}
	s.log.Info("draining", "viewers", s.whep.ViewerCount(), "timeout", s.cfg.DrainTimeout)
	s.registry.Drain()
	s.whep.Drain()
	close(s.draining)
	s.changes.notify()
	deadline := time.NewTimer(s.cfg.DrainTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for s.whep.ViewerCount() > 0 {
		select {
		case <-serving.Done():
			return serving.Err()
		case <-deadline.C:
			s.log.Info("viewers are left at the end of the drain", "viewers", s.whep.ViewerCount())
			return ending.Err()
		case <-tick.C:
		}
	}
	return ending.Err()
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}
