package keys

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
	// controlCertificateMargin is how long before its end a certificate is replaced.
	controlCertificateMargin = 90 * 24 * time.Hour
	// controlCertificateSkew lets nodes whose clock is behind accept a new certificate too.
	controlCertificateSkew = time.Hour
)

// newControlCertificate makes a self-signed certificate for the command ports. Clients
// pin the certificate, so its subject does not matter. It cannot sign other certificates.
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
		// Together with IsCA false this says that the certificate is no authority.
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

// isControlCertificate reports whether certificate and key belong together, are
// for the server name, and stay valid for controlCertificateMargin. Clients verify
// all of that. A certificate copied from another pair would lock the operator out.
func isControlCertificate(cert, key []byte, serverName string, now time.Time) bool {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false
	}
	return pair.Leaf.VerifyHostname(serverName) == nil &&
		!now.Before(pair.Leaf.NotBefore) && now.Before(pair.Leaf.NotAfter.Add(-controlCertificateMargin))
}

func isKeyPair(cert, key []byte) bool {
	_, err := tls.X509KeyPair(cert, key)
	return err == nil
}
