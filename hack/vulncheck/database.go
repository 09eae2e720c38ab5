package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The pinned database is the source of https://vuln.go.dev, which is a Go module, too. Its
// digest is that of
//
//	go mod download -json golang.org/x/vulndb@VERSION   # prints Dir
//	(cd DIR/data/osv && LC_ALL=C sha256sum * | sha256sum)
const (
	databaseModule  = "golang.org/x/vulndb"
	databaseVersion = "v0.0.0-20261105234957-e22db6528018"
	databaseDigest  = "b41f04137c413a423140f9af9ecc1b4bbe5a27e57099c005fc1cf26b28f718c0"
)

// errNotServed says that the pinned database cannot be had here. It does not say so of a
// database that is here and broken.
var errNotServed = errors.New("the module proxy does not serve the database")

// pinnedDatabase downloads the pinned database, unless it is in the module cache already,
// and returns its folder of OSV files.
func pinnedDatabase(ctx context.Context) (string, error) {
	query := databaseModule + "@" + databaseVersion
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", query)
	// The digest is stricter than the public checksum database, which may be out of reach.
	cmd.Env = append(os.Environ(), "GONOSUMDB="+databaseModule)
	out, runErr := cmd.Output()
	var download struct{ Dir, Error string }
	if err := json.Unmarshal(out, &download); err != nil {
		return "", errors.Join(fmt.Errorf("go mod download %s: %w", query, err), runErr)
	}
	if download.Dir == "" {
		// A file that is in the cache was served. What is wrong with it must be mended.
		if cached, err := cachedZip(ctx); err != nil || cached {
			return "", errors.Join(fmt.Errorf("go mod download %s: %s", query, download.Error), err)
		}
		// On one line, which the answer of a proxy is not always.
		return "", fmt.Errorf("%w: %s", errNotServed, strings.Join(strings.Fields(download.Error), " "))
	}
	folder := filepath.Join(download.Dir, "data", "osv")
	digest, err := folderDigest(folder)
	if err != nil {
		return "", fmt.Errorf("database: %w", err)
	}
	if digest != databaseDigest {
		return "", fmt.Errorf("the files of %s are not those of %s: digest %s, want %s; remove %s and run again",
			folder, databaseVersion, digest, databaseDigest, download.Dir)
	}
	return folder, nil
}

// cachedZip reports whether the module cache has the database's archive.
func cachedZip(ctx context.Context) (bool, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOMODCACHE").Output()
	if err != nil {
		return false, fmt.Errorf("go env: %w", err)
	}
	var env struct{ GOMODCACHE string }
	if err := json.Unmarshal(out, &env); err != nil {
		return false, fmt.Errorf("go env: %w", err)
	}
	_, err = os.Stat(filepath.Join(env.GOMODCACHE, "cache", "download", filepath.FromSlash(databaseModule), "@v", databaseVersion+".zip"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// folderDigest returns the SHA-256 of what sha256sum prints of all files of a folder.
//
// govulncheck finds nothing in a folder that is empty or lacks files, and says that all is
// well. The digest keeps such a folder from passing.
func folderDigest(folder string) (string, error) {
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return "", err
	}
	sums := sha256.New()
	for _, entry := range entries {
		file, err := os.Open(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		file.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sums, "%x  %s\n", sum.Sum(nil), entry.Name())
	}
	return hex.EncodeToString(sums.Sum(nil)), nil
}
