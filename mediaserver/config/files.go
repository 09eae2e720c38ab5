package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

// maxSecretBytes bounds one file below --secrets that is read.
const maxSecretBytes = 64 << 10

// Files are where a manifest comes from. They may change while the server runs: read
// them again with Read and judge them with Parse.
type Files struct {
	// Pairs are the --pair files; none: there is no manifest, or it comes by a command.
	Pairs []string
	// Secrets is the folder whose folders are the Secrets that a pair may name, with a file
	// for each key, as Kubernetes mounts them; empty: Secrets are documents of the manifest.
	Secrets string
	// Lenient lets fields of a StreamPair be that this version does not know, as in a
	// cluster, whose API server has judged them, while its operator is newer than the pod.
	Lenient bool
}

// Read returns what the --pair files hold now. The error is [Mistakes].
func (f Files) Read() ([]Source, error) {
	sources, mistakes := readFiles(f.Pairs)
	return sources, mistakes.err()
}

// Parse is [ParseManifest] with the Secrets that f has. A key that the folder should hold
// and does not is no error: the pair keeps the one it has in previous, else it has none,
// so that nobody gets in who needs it. Manifest.SecretErrors tells of it.
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
		for _, server := range p.Spec.MediaServer.ICEServers {
			add(server.CredentialSecretRef, v1alpha1.SecretKeyICEUsername, v1alpha1.SecretKeyICECredential)
		}
	}
	return names
}

// isFileName keeps what a manifest names inside the folder, even where the manifest is
// wrong.
func isFileName(name string) bool {
	return name != "" && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, `/\`)
}

// readSecret returns one key of a Secret's folder; empty when it is not there.
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
		// One byte more than may be, so that ParseManifest sees that it is too much.
		content, err := readFile(name, MaxManifestBytes)
		if err != nil {
			mistakes.add("pair file: %v", err)
			continue
		}
		sources = append(sources, Source{Name: name, Content: content})
	}
	return sources, mistakes
}

// readFile returns what a file holds, but at most a byte more than limit.
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
