package server

import (
	"context"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

// drainInterval is how often a draining server checks whether it is
// still needed, beside the check at every change of a stream or a pair.
const drainInterval = 100 * time.Millisecond

// drain waits until the server is told to end (ending is done) or fails (serving is done).
// After ending it waits until nobody needs the server any more, at most --drain-timeout.
//
// During the drain new publishers and viewers are refused. Players are told to open a new
// connection, which a Service routes to another pod. A player leaves when the new connection
// plays. Streams published here are marked as leaving, here and at the peers. All servers
// then make a planned switch to the other leg if that leg is live. A publisher whose leg all
// have left is disconnected, so that its encoder connects to the pod that replaces this one.
func (s *Server) drain(ending, serving context.Context) error {
	select {
	case <-serving.Done():
		return serving.Err()
	case <-ending.Done():
	}
	for _, r := range s.pairs.all() {
		r.pair.Leave()
	}
	if s.cfg.DrainTimeout == 0 {
		return ending.Err()
	}
	began := time.Now()
	for _, step := range []func(){
		func() {
			s.log.Info("draining", "viewers", s.whep.ViewerCount(), "publishers", len(s.published()), "timeout", s.drainTimeout())
		},
		s.registry.Drain, s.relay.Drain, s.peer.Drain, s.whep.Drain, s.drainHLS,
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
		if !s.endUnneeded() {
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

// endUnneeded ends the publishers of streams that nobody needs.
// It reports whether a draining server must go on.
func (s *Server) endUnneeded() bool {
	needed := s.whep.ViewerCount() > 0 || s.hls != nil && s.hls.IsNeeded()
	if !s.peer.Exists() {
		return needed // its publishers have nowhere else to go
	}
	for _, one := range s.published() {
		if anyNeeds(s.uses(one.Key())) {
			needed = true
			continue
		}
		s.log.Info("nobody plays the stream: its publisher is sent to the server that takes this one's place", "stream", one.Key().String())
		one.EndLocal(stream.EndShutdown, stream.ErrShuttingDown)
	}
	return needed
}

// published returns the streams that somebody publishes to this server.
func (s *Server) published() []*stream.Stream {
	var own []*stream.Stream
	for _, one := range s.registry.Streams() {
		if p := one.Snapshot().Publication; p != nil && !p.Relayed {
			own = append(own, one)
		}
	}
	return own
}

// A use says how one pair uses a stream that is published to this server.
type use struct {
	role failover.Role // the stream's role in the pair
	// watched says that the pair has viewers here. here is the pair's standing here.
	watched bool
	here    failover.Standing
	// shared says that the peers play the pair too. peers
	// is the pair's standing at each peer that answers.
	shared bool
	peers  []failover.Standing
}

// uses returns how each pair uses the stream.
func (s *Server) uses(key stream.Key) []use {
	var all []use
	for _, r := range s.pairs.all() {
		u := use{role: r.key.RoleOf(key), watched: r.output.ViewerCount() > 0}
		if u.role == "" {
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

// anyNeeds reports whether somebody may still need a stream with
// these uses. If no peer answers, the stream counts as needed.
func anyNeeds(uses []use) bool {
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
