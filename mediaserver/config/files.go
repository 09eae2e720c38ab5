package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

// maxSecretBytes bounds how much of one file below --secrets is read.
const maxSecretBytes = 64 << 10

// Files are the files of a manifest. They may change while the
// server runs. Read reads them again, and Parse checks them.
type Files struct {
	// Pairs are the --pair files. None: there is no manifest, or a command brings it.
	Pairs []string
	// Secrets is the folder of the Secrets that a pair may name. Each
	// Secret is a folder in it, with a file for each key, as Kubernetes
	// mounts them. Empty: Secrets are documents of the manifest.
	Secrets string
	// Lenient accepts fields of a StreamPair that this version does
	// not know. It is for a cluster, where the API server has
	// checked the fields and the operator may be newer than the pod.
	Lenient bool
}

// Read returns the contents of the --pair files. The error is [Mistakes].
func (f Files) Read() ([]Source, error) {
	sources, mistakes := readFiles(f.Pairs)
	return sources, mistakes.err()
}

// Parse is [ParseManifest] with the Secrets of f. A key that is missing in the folder is
// not an error, but is reported in Manifest.SecretErrors. The pair then keeps its key in
// previous. If there is none it has no key, so that nobody who needs the key gets in.
func (f Files) Parse(previous Manifest, sources ...Source) (Manifest, error) {
	m, mistakes := f.parse(previous, sources)
	if err := mistakes.err(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// Names returns every file that m depends on, whether it exists or not.
func (f Files) Names(m Manifest) []string {
	names := append([]string(nil), f.Pairs...)
	if f.Secrets == "" {
		return names
	}
	add := func(ref *v1alpha1.SecretReference, keys ...string) {
		if ref == nil || !isFileName(ref.Name) {
			return
		}
		for _, key := range keys {
			names = append(names, filepath.Join(f.Secrets, ref.Name, key))
		}
	}
	for _, p := range m.Pairs {
		add(p.Spec.Publish.TokenSecretRef, KeyPublishToken, KeyPlayToken, KeyJWTKey)
		add(p.Spec.Playback.TokenSecretRef, KeyPlayToken, KeyJWTKey)
		add(p.Spec.Publish.SRTPassphraseSecretRef, KeySRTPassphrase)
		for _, set := range []*v1alpha1.JWKS{p.Spec.Publish.JWKS, p.Spec.Playback.JWKS} {
			add(set.Secret(), KeyJWKS)
		}
		for _, server := range p.Spec.MediaServer.ICEServers {
			add(server.CredentialSecretRef, v1alpha1.SecretKeyICEUsername, v1alpha1.SecretKeyICECredential)
		}
	}
	return names
}

// isFileName reports whether a name that a manifest has
// stays inside the folder. The manifest may be invalid.
func isFileName(name string) bool {
	return name != "" && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, `/\`)
}

// readSecret returns one key of a Secret's folder; empty: there is none.
func readSecret(folder, secret, key string) (string, error) {
	if !isFileName(secret) {
		return "", nil
	}
	content, err := readFile(filepath.Join(folder, secret, key), maxSecretBytes)
	switch {
	case os.IsNotExist(err):
		return "", nil
	case err != nil:
		return "", err
	case len(content) > maxSecretBytes:
		return "", fmt.Errorf("%s of the Secret %q is longer than %d bytes", key, secret, maxSecretBytes)
	}
	return string(content), nil
}

func readFiles(names []string) ([]Source, Mistakes) {
	var sources []Source
	var mistakes Mistakes
	for _, name := range names {
		// One byte more than allowed is read, so that
		// ParseManifest notices that the file is too long.
		content, err := readFile(name, MaxManifestBytes)
		if err != nil {
			mistakes.add("pair file: %v", err)
			continue
		}
		sources = append(sources, Source{Name: name, Content: content})
	}
	return sources, mistakes
}

// readFile returns the contents of a file, at most one byte more than limit.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
