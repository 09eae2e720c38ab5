package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/stream"
)

// configSources are what the manifest in force was made from, so that it can be made
// again when a Secret changes. Server.configuring guards them.
type configSources struct {
	inForce []config.Source
	// file is what the files held when they were last looked at: only a file that changes
	// can take the place of what came by a command.
	file []config.Source
}

// Configure implements control.Backend.
func (s *Server) Configure(manifest []byte) error {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	sources := []config.Source{{Name: "manifest", Content: manifest}}
	before := s.Manifest()
	m, err := s.parse(before, sources)
	if err != nil {
		return err
	}
	if isStale(m, before) {
		return fmt.Errorf("%w: it has %d, and the one in force %d", control.ErrStaleManifest, m.Generation(), before.Generation())
	}
	s.sources.inForce = sources
	s.configure(m)
	s.complain(&s.complaints.secrets, m.SecretErrors)
	s.log.Info("configuration changed", "pairs", len(m.Pairs), "generation", m.Generation())
	return nil
}

// parse reads what is to follow before. A media pod keeps the streams that it began with:
// for others the operator replaces it, one leg after the other, while to change them here
// would take the picture from the viewers of both legs at once.
func (s *Server) parse(before config.Manifest, sources []config.Source) (config.Manifest, error) {
	m, err := s.cfg.Files.Parse(before, sources...)
	if err != nil || s.cfg.Role == "" {
		return m, err
	}
	for i := range m.Pairs {
		now := &m.Pairs[i].Spec
		for _, p := range before.Pairs {
			if p.Name == m.Pairs[i].Name && p.Namespace == m.Pairs[i].Namespace {
				now.App, now.Primary, now.Backup = p.Spec.App, p.Spec.Primary, p.Spec.Backup
			}
		}
	}
	return m, nil
}

// isStale says whether m is from before the one in force. One without a generation is
// somebody's who edits it by hand, and knows.
func isStale(m, inForce config.Manifest) bool {
	return m.Generation() != 0 && m.Generation() < inForce.Generation()
}

// reload reads the manifest and the Secrets again because a file of them changed. What is
// wrong is shown, and what was in force stays.
func (s *Server) reload() {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	file, err := s.cfg.Files.Read()
	if err != nil {
		s.sources.file = nil // so that they are looked at when they are back
		s.complain(&s.complaints.manifest, lines(err))
	} else if !slices.EqualFunc(file, s.sources.file, config.Source.Equal) {
		s.sources.file = file
		s.complain(&s.complaints.manifest, lines(s.adopt(file)))
	}
	s.renewKeys()
}

// adopt puts the manifest of the files in force, unless it is older than what came by a
// command. One that says the same changes nothing, not even a leg that was selected since.
func (s *Server) adopt(file []config.Source) error {
	before := s.Manifest()
	m, err := s.parse(before, file)
	if err != nil {
		return err
	}
	if isStale(m, before) {
		s.log.Info("the manifest's file is older than the one in force", "generation", m.Generation(), "inForce", before.Generation())
		return nil
	}
	s.sources.inForce = file
	if !m.Declares(before) {
		s.configure(m)
		s.log.Info("configuration changed", "pairs", len(m.Pairs), "generation", m.Generation())
	}
	return nil
}

// renewKeys puts the Secrets in force that the files hold now.
func (s *Server) renewKeys() {
	if len(s.sources.inForce) == 0 {
		return
	}
	before := s.Manifest()
	m, err := s.parse(before, s.sources.inForce)
	if err != nil {
		return // it was right before, and what is wrong with Secrets is no error
	}
	s.complain(&s.complaints.secrets, m.SecretErrors)
	if m.Equal(before) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifest = m
	s.access.Replace(m.Access())
	s.changes.notify()
	s.log.Info("the Secrets of the pairs have changed: who connects from now on needs the new ones")
}

// complaints are what is wrong with the files, one line each, by what they are for.
type complaints struct{ manifest, secrets, control []string }

// complain replaces some of s.complaints, and logs what is new.
func (s *Server) complain(about *[]string, now []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(*about, now) {
		return
	}
	for _, line := range now {
		if !slices.Contains(*about, line) {
			s.log.Error("a file is not used as it is; what was in force before still is", "error", line)
		}
	}
	*about = now
	s.changes.notify()
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// configErrors are all complaints. s.mu is held.
func (s *Server) configErrors() []string {
	c := s.complaints
	return slices.Concat(c.manifest, c.secrets, c.control)
}

// configure puts a manifest in force.
func (s *Server) configure(m config.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showTokens(m)
	s.manifest = m
	var declared []declaration
	var streams []stream.Key
	for _, p := range m.Pairs {
		key := pairKey{p.Spec.App, p.Spec.Primary.StreamID, p.Spec.Backup.StreamID}
		policy := policyOf(p.Spec.Failover)
		policy.Generation = m.Generation()
		declared = append(declared, declaration{key, p.Name, policy, p.Spec.Paused})
		streams = append(streams, stream.Key{App: key.App, ID: key.Primary}, stream.Key{App: key.App, ID: key.Backup})
	}
	s.registry.Declare(streams)
	s.access.Replace(m.Access())
	s.trustProxies(m)
	s.pairs.declare(declared)
	s.followPeer()
	for _, d := range declared {
		if d.Paused {
			for _, id := range []string{d.Primary, d.Backup} {
				s.registry.Stream(stream.Key{App: d.App, ID: id}).End(stream.EndPaused, stream.ErrPaused)
			}
		}
	}
	s.changes.notify()
}

// trustProxies trusts the proxies of the command line and of every pair: a connection does not
// say which pair it is for before its address is known.
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

// showTokens shows the tokens that were made up for m and are new. s.mu is held.
func (s *Server) showTokens(m config.Manifest) {
	if s.cfg.OnToken == nil {
		return
	}
	known := make(map[string]config.Keys)
	for _, p := range s.manifest.Pairs {
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

// Manifest is the manifest in force.
func (s *Server) Manifest() config.Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.manifest
}
