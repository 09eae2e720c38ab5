package server

import (
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/relay"
)

// peerConfig returns what the other leg's servers are, and what they are told.
func (s *Server) peerConfig() peer.Config {
	return peer.Config{
		URL: s.cfg.Peer, Insecure: s.cfg.PeerInsecure, ToldByOperator: s.cfg.Pod.IsMade(), RelayPort: config.RelayPort,
		Own: s.cfg.Pod.IP, Role: failover.Role(s.cfg.Role), Origin: s.origin(), Lookup: s.cfg.lookup, Dial: s.cfg.dial,
		Pair: s.pairs.declaredPairOf, Epoch: s.registry.Epoch(), Pull: relay.Pull(s.registry, s.changes.next), PullPlaylist: s.pullPlaylist, PullMeasures: s.measuring.pull, OnChange: s.changes.notify,
		Recovery: s.recovery, Logger: s.log, Metrics: s.counters,
	}
}

// openRelay makes what serves streams to players and to peers.
func (s *Server) openRelay(m *metrics.Metrics) {
	s.relay = relay.NewHandler(relay.HandlerConfig{
		Registry: s.registry, Clear: s.peer.ClearAccess(),
		Play:     func(app, streamID, token string) error { return s.access.Play(app, streamID, "", token) },
		Validity: s.access.Validity, Full: s.isFull, Alternate: s.alternate,
		Door: admission.NewDoor(admission.DoorConfig{
			Name: "flv", Limits: admission.Limits{Max: s.cfg.MaxViewers}, Metrics: m,
		}),
		Logger: s.log, Metrics: m,
	})
}

// isFull reports whether the server has as many viewers
// as it may have, counting that many players of FLV.
func (s *Server) isFull(players int) bool {
	return s.cfg.MaxViewers > 0 && s.whep.ViewerCount()+players >= s.cfg.MaxViewers
}

// followPeer makes the peer client relay the declared pairs.
func (s *Server) followPeer() {
	var shared []peer.SharedPair
	for _, r := range s.pairs.all() {
		if r.declared.Load() && r.key.Backup != "" {
			shared = append(shared, peer.SharedPair{PairKey: r.key, Pair: r.pair})
		}
	}
	s.peer.Follow(shared)
}

// declaredPairOf returns a declared pair for the peer; nil: there is none.
func (p *pairs) declaredPairOf(key failover.PairKey) *failover.Pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.open[key]
	if r == nil || !r.declared.Load() {
		return nil
	}
	return r.pair
}

// peerStatus returns how a pair stands at the peer; nil: there is no peer.
func (s *Server) peerStatus(r *runningPair) *api.Peer {
	if !s.peer.Exists() || !r.declared.Load() {
		return nil
	}
	_, there, _ := r.pair.Standing()
	if there == nil {
		return &api.Peer{}
	}
	p := &api.Peer{
		Connected: true, Active: string(there.Active), OnAir: there.OnAir,
		SwitchingTo: string(there.SwitchingTo), Generation: there.Generation,
	}
	if there.Active != "" {
		since := s.wallClock(there.Since).Truncate(time.Microsecond)
		p.Since = &since
	}
	return p
}

// TellPeers implements control.Backend.
func (s *Server) TellPeers(told api.Peers) error { return s.peer.Tell(told) }

// NoteOldOperator implements control.Backend.
func (s *Server) NoteOldOperator() { s.peer.NoteOldOperator() }
