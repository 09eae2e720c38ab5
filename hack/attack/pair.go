package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const clusterToken = "cluster-token-of-the-attack"

// pairOfTwo returns a function that starts two servers with one leg each.
func pairOfTwo(binary string) func(context.Context, string) ([]*server, error) {
	return func(ctx context.Context, folder string) (servers []*server, err error) {
		defer func() {
			if err != nil {
				for _, s := range servers {
					s.stop()
				}
				servers = nil
			}
		}()
		common, err := controlFiles(folder)
		if err != nil {
			return nil, err
		}
		peers, err := peerArgs(binary)
		if err != nil {
			return nil, err
		}
		for i, role := range []string{"primary", "backup"} {
			s, err := startServer(ctx, serverConfig{
				binary: binary, name: "streampair-attack-" + role, token: clusterToken,
				args: slices.Concat([]string{"--role", role}, peers[i], common),
			})
			if err != nil {
				return servers, fmt.Errorf("the %s: %w", role, err)
			}
			servers = append(servers, s)
		}
		return servers, nil
	}
}

// peerArgs returns the arguments by which the two servers find each
// other: over TLS, or in clear if the build does not know TLS yet.
func peerArgs(binary string) (args [2][]string, err error) {
	help, err := exec.Command(binary, "--help").CombinedOutput()
	if err != nil {
		return args, fmt.Errorf("ask the media server for its flags: %w", err)
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return args, err
		}
	}
	for i := range args {
		address := fmt.Sprintf("127.0.0.1:%d", ports[i])
		if strings.Contains(string(help), "--relay-address") {
			args[i] = []string{
				"--peer", fmt.Sprintf("https://127.0.0.1:%d", ports[1-i]), "--relay-address", address,
				"--http-address", "127.0.0.1:0", "--health-address", "",
			}
			continue
		}
		args[i] = []string{"--peer", fmt.Sprintf("http://127.0.0.1:%d", ports[1-i]), "--http-address", address}
	}
	return args, nil
}

// controlFiles writes the files that both servers
// share, and returns the arguments that name them.
func controlFiles(folder string) ([]string, error) {
	cert, key, err := selfSigned()
	if err != nil {
		return nil, err
	}
	var args []string
	for _, file := range []struct{ flag, name, content string }{
		{"--pair", "pair.yaml", manifest},
		{"--control-tls-cert", "control.crt", cert},
		{"--control-tls-key", "control.key", key},
		{"--control-token-file", "token", clusterToken},
	} {
		path := filepath.Join(folder, file.name)
		if err := os.WriteFile(path, []byte(file.content), 0o600); err != nil {
			return nil, err
		}
		args = append(args, file.flag, path)
	}
	return args, nil
}

// selfSigned makes a certificate for loopback, in PEM.
func selfSigned() (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "streampair attack"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), nil
}
