package peer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/pairtls"
)

// refusalLogInterval is the shortest time between two log lines about strangers at the relay port.
const refusalLogInterval = time.Minute

// Listen makes l accept connections of the peers only, over TLS.
func (p *Peer) Listen(l net.Listener) net.Listener {
	var mu sync.Mutex // guards the next two
	var said time.Time
	unsaid := 0
	return pairtls.Listen(l, pairtls.ListenerConfig{
		TLS: p.identity.ServerConfig(string(p.cfg.Role)), IsPeer: p.Includes,
		Proved: func(a netip.Addr) {
			if p.directory != nil {
				p.directory.Meet(a)
			}
		},
		Refused: func(from net.Addr, reason string, err error) {
			p.cfg.Metrics.RelayRefusals.WithLabelValues(reason).Inc()
			mu.Lock()
			defer mu.Unlock()
			if unsaid++; time.Since(said) < refusalLogInterval {
				return
			}
			p.log.Warn("the relay port was asked by somebody who is not the pair's other server", "remote", from.String(), "reason", reason, "error", err, "times", unsaid)
			said, unsaid = time.Now(), 0
		},
	})
}

// SetIdentity sets the certificates by which the pair's servers recognize each other. The peers' is
// in a PEM file; without a file it is the own one.
func (p *Peer) SetIdentity(own *tls.Certificate, peerFile string) error {
	peers := own.Leaf
	if peerFile != "" {
		var err error
		if peers, err = readCertificate(peerFile); err != nil {
			return fmt.Errorf("read the peer's certificate: %w", err)
		}
	}
	p.identity.Set(own, peers)
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
