package server

import (
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
)

// certificates serves a certificate from two files and reads them again when they
// change, so that a renewed one needs no restart. While the files are unreadable or do
// not match (they are replaced one after the other), the last good one is served.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards all below
	current *tls.Certificate
	read    [2]time.Time // modification times of what current was read from
	checked time.Time
}

// recheckCertificate is how often the files are looked at, at the most.
const recheckCertificate = time.Second

func newCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is a tls.Config's GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= recheckCertificate {
		c.checked = now
		if times, err := c.modified(); err == nil && times != c.read {
			if err := c.load(); err != nil {
				c.log.Error("the new certificate cannot be used; the old one is still served", "error", err)
				c.read = times // say it once
			}
		}
	}
	return c.current, nil
}

// load reads both files. c.mu is held, or nobody else knows c yet.
func (c *certificates) load() error {
	times, err := c.modified()
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	c.current, c.read = &cert, times
	c.log.Info("certificate loaded", "file", c.certFile, "expires", cert.Leaf.NotAfter)
	return nil
}

func (c *certificates) modified() (times [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return times, fmt.Errorf("read certificate: %w", err)
		}
		times[i] = info.ModTime()
	}
	return times, nil
}

// selfSigned makes a certificate for this machine's names and addresses, for trying
// things out: browsers warn of it.
func selfSigned() (*tls.Certificate, error) {
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
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
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
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
