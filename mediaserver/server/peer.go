package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/pairtls"
	"github.com/streampair/streampair/mediaserver/peers"
	"github.com/streampair/streampair/mediaserver/relay"
)

// refusalLogInterval is how often the log says that strangers come to the relay port.
const refusalLogInterval = time.Minute

// openPeer makes what asks the other leg's servers.
func (s *Server) openPeer(m *metrics.Metrics) error {
	cfg, err := s.peersConfig()
	if err != nil {
		return err
	}
	var counting sync.Mutex
	cfg.OnChange = func() {
		counting.Lock()
		defer counting.Unlock()
		s.countPeers(m)
		s.changes.notify()
	}
	s.peers, err = peers.New(cfg)
	if err != nil {
		return err
	}
	if s.cfg.PeerInsecure {
		s.log.Warn("relay and forwarding are in clear: whoever is on the way to the peer reads and replaces the streams; see --peer and --peer-insecure", "peer", s.cfg.Peer)
	}
	s.peer = relay.NewClient(relay.ClientConfig{
		Peers: s.peers, TLS: s.peerTLS(), Dial: s.cfg.dial, Token: s.clusterToken.relayToken,
		Registry: s.registry, Changed: s.changes.next, Recovery: s.recovery, Logger: s.log, Metrics: m,
	})
	return nil
}

// peersConfig says where the other leg's servers are. Where the operator has made the pod,
// the URL is that of a version before, which must not change while such pods are about: its
// host is asked on the relay port, and its own port is for servers that speak in clear.
func (s *Server) peersConfig() (peers.Config, error) {
	cfg := peers.Config{Base: s.cfg.Peer, Own: s.cfg.Pod.IP, Lookup: s.cfg.lookup, Logger: s.log}
	u, err := url.Parse(s.cfg.Peer)
	if err != nil {
		return cfg, fmt.Errorf("read the peer's URL: %w", err)
	}
	if u.Scheme != "http" || s.cfg.PeerInsecure {
		return cfg, nil
	}
	if !s.cfg.Pod.IsMade() {
		return cfg, fmt.Errorf("read the peer's URL: %s needs --peer-insecure", s.cfg.Peer)
	}
	cfg.ClearPort = 80
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		cfg.ClearPort = uint16(port)
	}
	cfg.Base = "https://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(config.RelayPort))
	return cfg, nil
}

// peerTLS is how the other leg's servers are connected to; nil: in clear.
func (s *Server) peerTLS() *tls.Config {
	if s.cfg.PeerInsecure {
		return nil
	}
	other := v1alpha1.RolePrimary
	if s.cfg.Role == other {
		other = v1alpha1.RoleBackup
	}
	return s.identity.ClientConfig(string(other))
}

// openRelayPort makes l take the connections of the other leg's servers, and no others.
func (s *Server) openRelayPort(l net.Listener) net.Listener {
	var mu sync.Mutex // guards the next two
	var said time.Time
	unsaid := 0
	return pairtls.Listen(l, pairtls.ListenerConfig{
		TLS: s.identity.ServerConfig(string(s.cfg.Role)), IsPeer: s.isPeer,
		Proved: func(a netip.Addr) {
			if s.peers != nil {
				s.peers.Meet(a)
			}
		},
		Refused: func(from net.Addr, reason string, err error) {
			s.pairs.metrics.RelayRefusals.WithLabelValues(reason).Inc()
			mu.Lock()
			defer mu.Unlock()
			if unsaid++; time.Since(said) < refusalLogInterval {
				return
			}
			s.log.Warn("the relay port was asked by somebody who is not the pair's other server", "remote", from.String(), "reason", reason, "error", err, "times", unsaid)
			said, unsaid = time.Now(), 0
		},
	})
}

// loadIdentity reads by what the servers of the pair know each other.
func (s *Server) loadIdentity() error {
	own := s.controlCerts.current()
	if own == nil {
		return nil // why is said of the command port's files
	}
	peer := own.Leaf
	if s.cfg.PeerTLSCert != "" {
		var err error
		if peer, err = readCertificate(s.cfg.PeerTLSCert); err != nil {
			return fmt.Errorf("read the peer's certificate: %w", err)
		}
	}
	s.identity.Set(own, peer)
	return nil
}

// readCertificate reads the first certificate of a PEM file.
func readCertificate(name string) (*x509.Certificate, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s has no certificate in PEM", name)
}

// isClearAllowed reports whether the other leg's servers are served in clear, and until when.
func (s *Server) isClearAllowed() (allowed bool, over <-chan struct{}) {
	if s.peers == nil {
		return false, nil
	}
	return s.peers.IsClearAllowed()
}

// maxClearPeers bounds the addresses that the operator tells.
const maxClearPeers = 16

var errNotTold = errors.New("this server was not made by the operator: --peer says how its peer is reached")

// isTold reports whether the operator says how the peers are reached.
func (s *Server) isTold() bool {
	return s.peers != nil && s.cfg.Pod.IsMade() && !s.cfg.PeerInsecure
}

// TellPeers implements control.Backend.
func (s *Server) TellPeers(told api.Peers) error {
	if !s.isTold() {
		return errNotTold
	}
	if len(told.Clear) > maxClearPeers {
		return fmt.Errorf("clear: %d addresses, and at most %d are taken", len(told.Clear), maxClearPeers)
	}
	var word peers.Word
	var mistakes config.Mistakes
	for i, text := range told.Clear {
		a, err := netip.ParseAddr(text)
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("clear[%d]: %.60q is no IP address", i, text))
		}
		word.Clear = append(word.Clear, a)
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	s.peers.Tell(word)
	return nil
}

// HearOldOperator implements control.Backend: beside an operator that does not tell of peers,
// such as after a rollback, the other leg's pods may be of its version, or will be.
func (s *Server) HearOldOperator() {
	if s.isTold() {
		s.peers.Tell(peers.Word{Any: true})
	}
}

// peerRelay describes how the server is joined with the other leg's; nil: not at all.
func (s *Server) peerRelay() *api.PeerRelay {
	if s.relayPort == nil && s.peers == nil {
		return nil
	}
	st := &api.PeerRelay{TLS: s.relayPort != nil}
	if s.peers == nil {
		return st
	}
	var word peers.Word
	word, st.Told = s.peers.Word()
	st.ClearAny = word.Any
	for _, a := range word.Clear {
		st.Clear = append(st.Clear, a.String())
	}
	for _, l := range s.peers.Links() {
		link := api.PeerLink{Address: l.Address.String()}
		switch {
		case l.TLS:
			link.Transport = api.TransportTLS
		case l.Clear:
			link.Transport = api.TransportClear
		}
		st.Links = append(st.Links, link)
	}
	return st
}

// countPeers counts the other leg's servers that answer.
func (s *Server) countPeers(m *metrics.Metrics) {
	overTLS, inClear := 0, 0
	for _, l := range s.peers.Links() {
		if l.TLS {
			overTLS++
		} else if l.Clear {
			inClear++
		}
	}
	m.PeersConnected.WithLabelValues("tls").Set(float64(overTLS))
	m.PeersConnected.WithLabelValues("clear").Set(float64(inClear))
}

// current is the certificate that was given; nil: there is none that can be used.
func (c *certificates) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.given
}
