package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	api "github.com/streampair/streampair/api/control"
)

// renewSelfSigned is how long before its end a self-signed certificate is replaced.
const renewSelfSigned = 30 * 24 * time.Hour

// certificates serves a certificate from two files. load reads them again when they change,
// so that a renewed certificate needs no restart. The last good certificate is served while
// the files are unreadable or do not match, because they are replaced one after the other.
// If there was no good one yet, or there are no files, a self-signed certificate is served.
type certificates struct {
	certFile, keyFile string // both empty: self-signed
	log               *slog.Logger
	loaded            func(*x509.Certificate) // called with each new certificate; may be nil
	now               func() time.Time

	mu    sync.Mutex // guards all below
	given *tls.Certificate
	made  *tls.Certificate // self-signed; made on demand
	err   error            // why the files are not served
}

func newCertificates(certFile, keyFile string, log *slog.Logger) *certificates {
	return &certificates{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
}

// load reads both files.
func (c *certificates) load() error {
	if c.certFile == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = err; err != nil {
		c.err = fmt.Errorf("read certificate: %w", err)
		return c.err
	}
	if c.given == nil || !bytes.Equal(c.given.Leaf.Raw, cert.Leaf.Raw) {
		c.log.Info("certificate loaded", "file", c.certFile, "expires", cert.Leaf.NotAfter)
		if c.loaded != nil {
			c.loaded(cert.Leaf)
		}
	}
	c.given = &cert
	return nil
}

// current returns the certificate from the files; nil: there is no usable one.
func (c *certificates) current() *tls.Certificate {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.given
}

// get implements GetCertificate of tls.Config.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given != nil {
		return c.given, nil
	}
	if now := c.now(); c.made == nil || c.made.Leaf.NotAfter.Sub(now) < renewSelfSigned {
		made, err := selfSigned(now)
		if err != nil {
			return nil, err
		}
		c.made = made
	}
	return c.made, nil
}

// status describes the certificate that is served.
func (c *certificates) status() *api.TLS {
	cert, err := c.get(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &api.TLS{Present: c.given != nil, SelfSigned: c.given == nil}
	switch {
	case err != nil:
		st.Error = err.Error()
	case c.err != nil:
		st.Error = c.err.Error()
	}
	if err == nil {
		end := cert.Leaf.NotAfter.UTC()
		st.NotAfter, st.DNSNames = &end, cert.Leaf.DNSNames
	}
	return st
}

// covers reports whether the certificate that is served is for a host name or address.
func (c *certificates) covers(host string) bool {
	cert, err := c.get(nil)
	return err == nil && cert.Leaf.VerifyHostname(host) == nil
}

// selfSigned makes a certificate for this machine's names and
// addresses. It is for trying things out, because browsers warn of it.
func selfSigned(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "streampair self-signed"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
	}
	if name, err := os.Hostname(); err == nil {
		template.DNSNames = append(template.DNSNames, name)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			template.IPAddresses = append(template.IPAddresses, n.IP)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
