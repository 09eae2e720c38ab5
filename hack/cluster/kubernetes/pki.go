package kubernetes

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An authority signs the certificates of one cluster. The certificates
// are as old as the cluster, which ends with its supervisor.
type authority struct {
	folder string
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	pem    []byte
}

// newAuthority makes an authority that writes into the folder. It writes ca.crt first.
func newAuthority(folder string) (*authority, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "streampair test cluster"},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	a := &authority{folder: folder, key: key, cert: template}
	der, err := a.sign(template, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pem = encode("CERTIFICATE", der)
	return a, a.write("ca.crt", a.pem)
}

func (a *authority) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// The machines of a cluster share one clock. The hour is for a clock that is being set.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(30 * 24 * time.Hour)
	return x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
}

// An identity is a certificate with its key.
type identity struct {
	cert, key []byte // PEM
}

func (a *authority) issue(template *x509.Certificate) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	cert, err := a.sign(template, &key.PublicKey)
	if err != nil {
		return identity{}, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	return identity{encode("CERTIFICATE", cert), encode("EC PRIVATE KEY", private)}, nil
}

// server writes NAME.crt and NAME.key for a server.
func (a *authority) server(name string, names []string, addresses []net.IP) error {
	i, err := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
		IPAddresses: addresses,
	})
	if err != nil {
		return err
	}
	return a.writeIdentity(name, i)
}

// client writes NAME.crt, NAME.key and NAME.kubeconfig for a client of the API server.
func (a *authority) client(name, user string, groups ...string) error {
	i, err := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	if err := a.writeIdentity(name, i); err != nil {
		return err
	}
	return a.write(name+".kubeconfig", kubeconfig(a.pem, i))
}

// keys writes NAME.key and NAME.pub for the tokens of service accounts.
func (a *authority) keys(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := a.write(name+".key", encode("EC PRIVATE KEY", private)); err != nil {
		return err
	}
	return a.write(name+".pub", encode("PUBLIC KEY", public))
}

func (a *authority) writeIdentity(name string, i identity) error {
	if err := a.write(name+".crt", i.cert); err != nil {
		return err
	}
	return a.write(name+".key", i.key)
}

func (a *authority) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(a.folder, name), content, 0o600)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// kubeconfig returns a kubeconfig file that needs no other
// file. It can be used wherever the API server can be reached.
func kubeconfig(ca []byte, i identity) []byte {
	text := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: streampair
  cluster: {server: "https://%s:%d", certificate-authority-data: %s}
users:
- name: streampair
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: streampair
  context: {cluster: streampair, user: streampair}
current-context: streampair
`, controlAddress, apiPort, text(ca), text(i.cert), text(i.key))
}
