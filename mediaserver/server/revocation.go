package server

import (
	"context"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
)

const (
	// revocationInterval is how often the server
	// looks for sessions opened with replaced tokens.
	revocationInterval = time.Second
	// primaryLater is how much later the primary's publisher is ended than the backup's.
	// Each pod counts from when it learns of the new token. A kubelet brings the new
	// token to the two pods up to a minute and a half apart. At least a minute and a half
	// is therefore left between the two ends, without any agreement between the pods.
	primaryLater = 3 * time.Minute
	// betweenEnds is the shortest time between the ends of two publishers of one pair.
	betweenEnds = time.Minute
)

// A revocation is what decides whether a publisher that used a replaced token is ended.
type revocation struct {
	Role     failover.Role
	Replaced time.Time     // when the token was replaced
	Grace    time.Duration // publish.replacedTokenGraceSeconds
	// Live and OtherLive say whether the publisher's leg and the other leg can be played.
	Live, OtherLive bool
	// LastEnd is when this server last ended a publisher of the pair; zero: never.
	LastEnd time.Time
}

// due reports whether the publisher must be ended at now. It is ended after the grace.
// The primary's publisher is ended primaryLater than the backup's. No publisher is ended
// within betweenEnds of another one, or while its leg is the only one that can be played.
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

// endRevoked ends the sessions opened with replaced or expired tokens, until ctx ends.
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
			s.whep.EndInvalid(now)
			s.endRevokedPublishers(now, lastEnds)
		}
	}
}

// endRevokedPublishers ends the publishers that are due, and notes the time in lastEnds.
func (s *Server) endRevokedPublishers(now time.Time, lastEnds map[string]time.Time) {
	for _, p := range s.Manifest().Pairs {
		grace := p.Spec.Publish.ReplacedTokenGraceSeconds
		running := s.pairs.declaredPair(p.Name)
		if grace == nil || running == nil {
			continue
		}
		for _, token := range s.access.ReplacedPublishTokens(p.Name) {
			// The backup comes first. If both are due, the primary's publisher waits.
			for _, role := range []failover.Role{failover.Backup, failover.Primary} {
				one := s.registry.Stream(running.key.Stream(role))
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
