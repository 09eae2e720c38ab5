package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/relay"
)

// openRelay makes what joins the server with the other leg's: it serves streams to players
// and to its peers, and one that knows its peers relays what is published there.
func (s *Server) openRelay(m *metrics.Metrics) error {
	if s.cfg.Peer != "" {
		if err := s.openPeer(m); err != nil {
			return err
		}
	}
	s.relay = relay.NewHandler(relay.HandlerConfig{
		Registry: s.registry, Pair: s.pairs.twin, IsToken: s.clusterToken.isRelays, Clear: s.isClearAllowed,
		Play: s.mayPlay, Revoked: s.access.Revoked, Full: s.isFull, Alternate: s.alternate,
		Door: admission.NewDoor(admission.DoorConfig{
			Name: "flv", Limits: admission.Limits{Max: s.cfg.MaxViewers}, Metrics: m,
		}),
		Logger: s.log, Metrics: m,
	})
	return nil
}

// mayPlay says whether the token opens a stream to a player of FLV.
func (s *Server) mayPlay(app, streamID, token string) error {
	err := s.access.Play(app, streamID, "", token)
	if errors.Is(err, access.ErrUnknownStream) {
		return fmt.Errorf("%w: %w", relay.ErrUnknownStream, err)
	}
	return err
}

// isFull says whether there are as many viewers as may be, with that many players of FLV.
func (s *Server) isFull(players int) bool {
	return s.cfg.MaxViewers > 0 && s.whep.ViewerCount()+players >= s.cfg.MaxViewers
}

// runPeer relays until ctx ends.
func (s *Server) runPeer(ctx context.Context) error {
	if s.peer == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.peers.Run(ctx) })
	g.Go(func() error { return s.peer.Run(ctx) })
	return g.Wait()
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
