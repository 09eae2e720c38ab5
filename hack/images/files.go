package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// certificatesPath is where Go programs look first.
const certificatesPath = "etc/ssl/certs/ca-certificates.crt"

// certificateFiles are where Linux distributions keep CA certificates.
func certificateFiles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Gentoo
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",             // openSUSE
		"/etc/ssl/cert.pem",                  // Alpine
	}
}

// commonFiles are in every image: certificates, a name for the user, and the licences.
func commonFiles(root, certificates string) ([]file, error) {
	pem, err := readCertificates(certificates)
	if err != nil {
		return nil, err
	}
	files := []file{
		{path: certificatesPath, mode: 0o644, content: pem},
		{path: "etc/passwd", mode: 0o644, content: fmt.Appendf(nil, "nonroot:x:%d:%d:nonroot:/:/sbin/nologin\n", nonRoot, nonRoot)},
		{path: "etc/group", mode: 0o644, content: fmt.Appendf(nil, "nonroot:x:%d:\n", nonRoot)},
	}
	for _, name := range []string{"LICENSE", "NOTICE", "LICENSES"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			below, err := filepath.Rel(root, path)
			files = append(files, file{path: "licenses/" + filepath.ToSlash(below), mode: 0o644, content: content})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readCertificates returns the CA certificates of the file, or of this machine. Without
// them the programs could not verify anybody by HTTPS, which would show much later.
func readCertificates(path string) ([]byte, error) {
	paths := []string{path}
	if path == "" {
		paths = certificateFiles()
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s has no certificate in PEM form", path)
		}
		return content, nil
	}
	return nil, fmt.Errorf("no CA certificates at %s; install them (Debian: apt-get install ca-certificates) or name a file with -ca-certificates",
		strings.Join(paths, ", "))
}
