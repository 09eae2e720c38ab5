package server

import (
	"strings"

	"github.com/streampair/streampair/mediaserver/signalling"
)

// origin returns the prefix of the server's session ids.
func (s *Server) origin() signalling.Origin {
	o := signalling.Origin{Role: "s", BootID: s.bootID}
	if role := s.cfg.Role; role != "" {
		o.Role = strings.ToLower(string(role[:1]))
	}
	return o
}

// alternate returns the base URL of the other leg's server; empty: unknown.
func (s *Server) alternate() string { return s.baseURLs.alternate(s.cfg.Role) }
