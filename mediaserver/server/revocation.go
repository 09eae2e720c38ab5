package server

import (
	"context"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// revocationInterval is how often the server looks for what replaced tokens opened.
	revocationInterval = time.Second
	// primaryLater is how much later than the backup's publisher the primary's is ended. Each
	// pod counts from when it learns of the new token. A kubelet brings the new token to the
	// two pods up to a minute and a half apart. So at least a minute and a half is left
	// between the two ends, and the pods need not agree.
	primaryLater = 3 * time.Minute
	// betweenEnds is the least time between the ends of two publishers of one pair.
	betweenEnds = time.Minute
)

// revocation is what decides whether a publisher goes that came with a replaced token.
type revocation struct {
	Role     failover.Role
	Replaced time.Time     // when its token was
	Grace    time.Duration // publish.replacedTokenGraceSeconds
	// Live and OtherLive say whether the publisher's leg can be played, and the other.
	Live, OtherLive bool
	// LastEnd is when this server ended a publisher of the pair last; zero: never.
	LastEnd time.Time
}

// due reports whether the publisher is to be ended at now: after the grace, the primary's
// primaryLater than the backup's, never within betweenEnds of another one's end, and never
// while the publisher's leg is the only one that can be played.
func (r revocation) due(now time.Time) bool {
	deadline := r.Replaced.Add(r.Grace)
	if r.Role == failover.Primary {
		deadline = deadline.Add(primaryLater)
	}
	switch {
	case now.Before(deadline):
		return false
	case !r.LastEnd.IsZero() && now.Sub(r.LastEnd) < betweenEnds:
		return false
	}
	return r.OtherLive || !r.Live
}

// endRevoked ends what replaced tokens opened, until ctx ends.
func (s *Server) endRevoked(ctx context.Context) error {
	lastEnds := make(map[string]time.Time) // by pair
	tick := time.NewTicker(revocationInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			s.access.Expire(now)
			s.whep.EndRevoked()
			s.endRevokedPublishers(now, lastEnds)
		}
	}
}

// endRevokedPublishers ends the publishers whose time has come, and notes when.
func (s *Server) endRevokedPublishers(now time.Time, lastEnds map[string]time.Time) {
	for _, p := range s.Manifest().Pairs {
		grace := p.Spec.Publish.ReplacedTokenGraceSeconds
		running := s.pairs.declaredPair(p.Name)
		if grace == nil || running == nil {
			continue
		}
		for _, token := range s.access.ReplacedPublishTokens(p.Name) {
			// The backup first: where both are due the primary's waits.
			for _, role := range []failover.Role{failover.Backup, failover.Primary} {
				one := s.registry.Stream(running.stream(role))
				if !one.CredentialInUse(token.Hash) {
					continue
				}
				r := revocation{Role: role, Replaced: token.At, Grace: time.Duration(*grace) * time.Second, LastEnd: lastEnds[p.Name]}
				for _, leg := range running.pair.Status().Legs {
					if leg.Role == role {
						r.Live = leg.Live
					} else {
						r.OtherLive = leg.Live
					}
				}
				if r.due(now) {
					lastEnds[p.Name] = now
					s.log.Info("a publisher is ended whose token was replaced", "pair", p.Name, "leg", string(role))
					one.Revoke(token.Hash)
				}
			}
		}
	}
}

// stream is the name of a leg's stream.
func (r *runningPair) stream(role failover.Role) stream.Key {
	if role == failover.Primary {
		return stream.Key{App: r.key.App, ID: r.key.Primary}
	}
	return stream.Key{App: r.key.App, ID: r.key.Backup}
}
