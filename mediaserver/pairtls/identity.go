package pairtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Overlap is how long a certificate is accepted after it was replaced. A kubelet brings the new
// certificate to the two servers up to a minute and a half apart.
const Overlap = 5 * time.Minute

// maxReplaced bounds how many replaced certificates are remembered.
const maxReplaced = 8

// An Identity has the two certificates between a media server and the other server of its pair: the
// one that it shows, and the one that it expects. An Identity is safe for concurrent use.
type Identity struct {
	now func() time.Time

	mu  sync.Mutex // guards all below
	own *tls.Certificate
	// shown is a replaced certificate that is still shown, until shownUntil: the other server may
	// not know the new one yet.
	shown      *tls.Certificate
	shownUntil time.Time
	peer       []byte // the certificate that is expected of the other server, in DER
	replaced   []replacedCertificate
}

// A replacedCertificate was expected earlier, and is accepted until a time.
type replacedCertificate struct {
	der   []byte
	until time.Time
}

// NewIdentity returns an Identity without certificates: nobody can connect until Set.
func NewIdentity() *Identity { return &Identity{now: time.Now} }

// Set replaces the certificate to show, with its key and Leaf, and the certificate to expect of the
// other server. Both are often the same certificate.
func (i *Identity) Set(own *tls.Certificate, peer *x509.Certificate) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if i.own != nil && !bytes.Equal(i.own.Leaf.Raw, own.Leaf.Raw) && !now.Before(i.shownUntil) {
		// For half of Overlap, the other server learns the new certificate. A certificate that was
		// in force only for a moment was never shown, and is skipped.
		i.shown, i.shownUntil = i.own, now.Add(Overlap/2)
	}
	if i.peer != nil && !bytes.Equal(i.peer, peer.Raw) {
		i.replaced = append(i.replaced, replacedCertificate{i.peer, now.Add(Overlap)})
		i.replaced = i.replaced[max(0, len(i.replaced)-maxReplaced):]
	}
	i.own, i.peer = own, peer.Raw
}

// certificate returns the certificate to show now.
func (i *Identity) certificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.own == nil:
		return nil, errors.New("there is no certificate to show to the peer")
	case i.now().Before(i.shownUntil):
		return i.shown, nil
	}
	return i.own, nil
}

// accepts reports whether the other server may show this certificate, in DER.
func (i *Identity) accepts(der []byte) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.peer != nil && bytes.Equal(der, i.peer) {
		if i.own != nil && bytes.Equal(i.own.Leaf.Raw, i.peer) {
			// Both servers have the same certificate, so the other server knows it. If that server
			// has just started, it does not know the previous certificate, and would refuse it.
			i.shown, i.shownUntil = nil, time.Time{}
		}
		return true
	}
	now := i.now()
	for _, r := range i.replaced {
		if now.Before(r.until) && bytes.Equal(der, r.der) {
			return true
		}
	}
	return false
}

// The reasons of a Refusal. They are values in metrics.
const (
	ReasonNoCertificate    = "no_certificate"    // the other side shows no certificate
	ReasonOtherCertificate = "other_certificate" // the other side shows a certificate that is not the pair's
	ReasonProtocol         = "protocol"          // the other side is no relay port of the other leg's server
	ReasonTimeout          = "timeout"           // the handshake took too long
	ReasonFull             = "full"              // there was no place for the handshake or the connection
)

// A Refusal says why the other side of a connection does not count as the other server of the pair.
type Refusal struct {
	Reason string
	text   string
}

// Error returns a sentence for the log.
func (r *Refusal) Error() string { return r.text }

// ServerConfig returns the configuration for the port of a server with this role. The port admits
// only the other server of the pair.
func (i *Identity) ServerConfig(role string) *tls.Config {
	c := i.config(role)
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate() }
	// VerifyConnection compares the certificate. It also gives a reason if there is none.
	c.ClientAuth = tls.RequestClientCert
	// Each connection proves the key anew, so a ticket cannot outlive a certificate.
	c.SessionTicketsDisabled = true
	return c
}

// ClientConfig returns the configuration for connecting to a server with this role.
func (i *Identity) ClientConfig(role string) *tls.Config {
	c := i.config(role)
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate() }
	c.InsecureSkipVerify = true // VerifyConnection compares the exact certificate
	return c
}

// config returns the common part of both configurations. Both ends have the same key, so the name
// of the protocol says which role serves. So a client cannot be led to itself, to another server of
// its own leg, or to another port that has the same certificate.
func (i *Identity) config(role string) *tls.Config {
	protocol := "streampair-relay-" + strings.ToLower(role)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol},
		// Media is written in large pieces: with small records, each record would cost a system
		// call.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			switch {
			case len(s.PeerCertificates) == 0:
				return &Refusal{ReasonNoCertificate, "the other side shows no certificate"}
			case !i.accepts(s.PeerCertificates[0].Raw):
				sum := sha256.Sum256(s.PeerCertificates[0].Raw)
				return &Refusal{ReasonOtherCertificate, fmt.Sprintf("the other side shows a certificate that is not the one expected of the peer (SHA-256 %x…)", sum[:6])}
			case s.NegotiatedProtocol != protocol:
				return &Refusal{ReasonProtocol, "the other side has the pair's certificate and is no relay port of the other leg's media server"}
			}
			return nil
		},
	}
}
