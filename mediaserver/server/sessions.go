package server

import (
	"strings"

	"github.com/streampair/streampair/mediaserver/forward"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// origin is what the ids of the server's sessions begin with.
func (s *Server) origin() signalling.Origin {
	o := signalling.Origin{Role: "s", BootID: s.bootID}
	if role := s.cfg.Role; role != "" {
		o.Role = strings.ToLower(string(role[:1]))
	}
	return o
}

// alternate is the base URL of the other leg's server; empty: not known.
func (s *Server) alternate() string { return s.baseURLs.alternate(s.cfg.Role) }

// openForward makes what passes requests about the other leg's sessions on.
func (s *Server) openForward(m *metrics.Metrics) {
	cfg := forward.Config{
		Own: s.origin(), Token: s.clusterToken.relayToken, IsToken: s.clusterToken.isRelays, Clear: s.isClearAllowed, Logger: s.log, Metrics: m,
	}
	if s.peers != nil {
		cfg.Peers, cfg.TLS, cfg.Dial = s.peers.Routes, s.peerTLS(), s.cfg.dial
	}
	s.forward = forward.New(cfg)
}
