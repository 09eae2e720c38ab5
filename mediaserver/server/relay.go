package server

import (
	"context"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/relay"
)

// openRelay makes what joins the server with the other leg's: a server with a token
// serves what is published to it, and one that knows its peer relays what is published
// there.
func (s *Server) openRelay(m *metrics.Metrics) {
	if s.cfg.Control.TokenFile != "" {
		s.relay = relay.NewHandler(relay.HandlerConfig{
			Registry: s.registry, Pair: s.pairs.twin, IsToken: s.clusterToken.isRelays, Logger: s.log, Metrics: m,
		})
	}
	if s.cfg.Peer != "" {
		s.peer = relay.NewClient(relay.ClientConfig{
			Peer: s.cfg.Peer, Token: s.clusterToken.relayToken, Registry: s.registry, Changed: s.changes.next,
			Logger: s.log, Metrics: m,
		})
	}
}

// runPeer relays until ctx ends.
func (s *Server) runPeer(ctx context.Context) error {
	if s.peer == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.peer.Run(ctx)
}

// followPeer relays the declared pairs. s.mu is held.
func (s *Server) followPeer() {
	if s.peer == nil {
		return
	}
	var twins []relay.Twin
	for _, r := range s.pairs.all() {
		if r.declared.Load() && r.key.Backup != "" {
			twins = append(twins, relay.Twin{App: r.key.App, PrimaryID: r.key.Primary, BackupID: r.key.Backup, Pair: r.pair})
		}
	}
	s.peer.Follow(twins)
}

// twin returns a declared pair for the peer, or nil.
func (p *pairs) twin(app, primaryID, backupID string) *failover.Pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.open[pairKey{app, primaryID, backupID}]
	if r == nil || !r.declared.Load() {
		return nil
	}
	return r.pair
}

// peerStatus is how a pair stands at the peer; nil: there is no peer.
func (s *Server) peerStatus(r *runningPair) *api.Peer {
	if s.peer == nil || !r.declared.Load() {
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
