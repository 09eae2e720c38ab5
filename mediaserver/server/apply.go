package server

import (
	"slices"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Configure implements control.Backend.
func (s *Server) Configure(manifest []byte) error { return s.config.command(manifest, nil) }

// Replace implements control.Backend.
func (s *Server) Replace(manifest []byte, replaced control.Replaced) error {
	return s.config.command(manifest, &replaced)
}

// Manifest returns the manifest in force.
func (s *Server) Manifest() config.Manifest { return s.config.manifest() }

// apply puts in force a manifest that follows before.
func (s *Server) apply(before, m config.Manifest) {
	s.showTokens(before, m)
	legs := []failover.Role{failover.Primary, failover.Backup}
	var declared []declaration
	var streams []stream.Key
	gaps := make(map[stream.Key]bool) // whether a pair tolerates gaps in a stream
	for _, p := range m.Pairs {
		key := keyOf(&p.Spec)
		policy := policyOf(p.Spec.Failover)
		policy.Generation = m.Generation()
		declared = append(declared, declaration{key, p.Name, policy, p.Spec.Paused})
		for _, role := range legs {
			one := key.Stream(role)
			streams = append(streams, one)
			gaps[one] = gaps[one] || policy.MaxJitter > 0
		}
	}
	s.registry.Declare(streams)
	s.access.Replace(s.accessPairs(m))
	s.trustProxies(m)
	s.pairs.declare(declared)
	for key, tolerated := range gaps {
		s.registry.Stream(key).TolerateGaps(tolerated)
	}
	s.followPeer()
	s.measuring.follow(m)
	s.keepHLS(m)
	for _, d := range declared {
		if d.Paused {
			for _, role := range legs {
				s.registry.Stream(d.Stream(role)).End(stream.EndPaused, stream.ErrPaused)
			}
		}
	}
}

// trustProxies trusts the proxies of the command line and of every
// pair. The proxies of all pairs count, because the client's address
// must be known before the connection says which pair it is for.
func (s *Server) trustProxies(m config.Manifest) {
	networks := slices.Clone(s.cfg.TrustedProxies)
	for _, p := range m.Pairs {
		for _, text := range p.Spec.Exposure.HTTP.TrustedProxies {
			network, err := admission.ParseProxy(text)
			if err != nil {
				s.log.Error("a proxy is not trusted", "pair", p.Name, "error", err)
				continue
			}
			networks = append(networks, network)
		}
	}
	s.proxies.Trust(networks)
}

// showTokens passes the tokens that were generated for m, and not for before, to OnToken.
func (s *Server) showTokens(before, m config.Manifest) {
	if s.cfg.OnToken == nil {
		return
	}
	known := make(map[string]config.Keys)
	for _, p := range before.Pairs {
		known[p.Name] = p.Keys
	}
	for _, p := range m.Pairs {
		if p.Keys.GeneratedPublishToken && p.Keys.PublishToken != known[p.Name].PublishToken {
			s.cfg.OnToken(p.Name, "publish", p.Keys.PublishToken)
		}
		if p.Keys.GeneratedPlayToken && p.Keys.PlayToken != known[p.Name].PlayToken {
			s.cfg.OnToken(p.Name, "play", p.Keys.PlayToken)
		}
	}
}
