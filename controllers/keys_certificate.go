package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

const (
	controlCertificateYears = 10
	// A certificate is replaced this long before it ends.
	controlCertificateMargin = 90 * 24 * time.Hour
	// Nodes whose clock is behind must take a new certificate too.
	controlCertificateSkew = time.Hour
)

// newControlCertificate makes a self-signed certificate for the command ports. Clients pin
// it, so nothing is said by its subject; it can sign no other.
func newControlCertificate(serverName string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // positive, RFC 5280, section 4.1.2.2
		Subject:      pkix.Name{Organization: []string{"Streampair"}, CommonName: "media server"},
		DNSNames:     []string{serverName},
		NotBefore:    now.Add(-controlCertificateSkew),
		NotAfter:     now.AddDate(controlCertificateYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Says that it is no authority.
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// isControlCertificate reports whether certificate and key belong together, are meant for
// the server name and are good for a while. Clients verify all of it: a certificate that
// was copied from another pair would lock the operator out.
func isControlCertificate(cert, key []byte, serverName string, now time.Time) bool {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false
	}
	return pair.Leaf.VerifyHostname(serverName) == nil &&
		!now.Before(pair.Leaf.NotBefore) && now.Before(pair.Leaf.NotAfter.Add(-controlCertificateMargin))
}
