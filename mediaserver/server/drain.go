package server

import (
	"context"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

// drainInterval is how often a draining server looks whether it is still needed, beside
// every change of a stream or a pair.
const drainInterval = 100 * time.Millisecond

// drain waits until the server is told to end (ending is done) or fails (serving is), and
// in the first case until nobody needs it any more, at most --drain-timeout.
//
// New publishers and viewers are refused meanwhile. Players are told to open their
// connection anew, which behind a Service leads to another pod, and leave when that one
// plays. What is published here is marked as leaving, here and at the peers, and all of
// them make a planned switch to the other leg if that is live. A publisher whose leg they
// have left is let go, so that its encoder comes to the pod that takes this one's place.
func (s *Server) drain(ending, serving context.Context) error {
	select {
	case <-serving.Done():
		return serving.Err()
	case <-ending.Done():
	}
	if s.cfg.DrainTimeout == 0 {
		return ending.Err()
	}
	began := time.Now()
	for _, step := range []func(){
		func() {
			s.log.Info("draining", "viewers", s.whep.ViewerCount(), "publishers", len(s.published()), "timeout", s.drainTimeout())
		},
		s.registry.Drain, s.relay.Drain, s.whep.Drain,
	} {
		s.attempt(step)
	}
	close(s.draining)
	s.changes.notify()
	deadline := time.NewTimer(s.drainTimeout())
	defer deadline.Stop()
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for {
		changed := s.changes.next()
		if !s.isNeeded() {
			s.log.Info("drained", "after", time.Since(began).Round(time.Millisecond))
			return ending.Err()
		}
		select {
		case <-serving.Done():
			return serving.Err()
		case <-deadline.C:
			s.log.Info("the drain ends before the server is without use", "viewers", s.whep.ViewerCount(), "publishers", len(s.published()))
			return ending.Err()
		case <-changed:
		case <-tick.C:
		}
	}
}

// isNeeded says whether a draining server must go on, and lets those publishers go of which
// that is not true.
func (s *Server) isNeeded() bool {
	needed := s.whep.ViewerCount() > 0
	if s.peer == nil {
		return needed // its publishers have nowhere else to go
	}
	for _, one := range s.published() {
		if isNeeded(s.uses(one.Key())) {
			needed = true
			continue
		}
		s.log.Info("nobody plays the stream: its publisher is sent to the server that takes this one's place", "stream", one.Key().String())
		one.EndOwn(stream.EndShutdown, stream.ErrShuttingDown)
	}
	return needed
}

// published are the streams that somebody publishes to this server.
func (s *Server) published() []*stream.Stream {
	var own []*stream.Stream
	for _, one := range s.registry.Streams() {
		if p := one.Snapshot().Publication; p != nil && !p.Relayed {
			own = append(own, one)
		}
	}
	return own
}

// A use is what one pair makes of a stream that is published to this server.
type use struct {
	role failover.Role // of the stream in the pair
	// watched says that the pair has viewers here, where it stands as here says.
	watched bool
	here    failover.Standing
	// shared says that the peers play the pair too, and peers is how it stands at those
	// that can be heard.
	shared bool
	peers  []failover.Standing
}

// uses are those of a stream.
func (s *Server) uses(key stream.Key) []use {
	var all []use
	for _, r := range s.pairs.all() {
		u := use{watched: r.output.ViewerCount() > 0}
		switch {
		case r.key.App != key.App:
			continue
		case r.key.Primary == key.ID:
			u.role = failover.Primary
		case r.key.Backup == key.ID:
			u.role = failover.Backup
		default:
			continue
		}
		u.here, _, _ = r.pair.Standing()
		if r.declared.Load() && r.key.Backup != "" {
			u.shared, u.peers = true, s.peer.Standings(r.pair)
		}
		all = append(all, u)
	}
	return all
}

// isNeeded says whether somebody may miss a stream of which these are the uses: where a
// peer cannot be heard nobody knows.
func isNeeded(uses []use) bool {
	for _, u := range uses {
		if u.watched && !u.here.HasLeft(u.role) || u.shared && len(u.peers) == 0 {
			return true
		}
		for _, there := range u.peers {
			if !there.HasLeft(u.role) {
				return true
			}
		}
	}
	return false
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}
