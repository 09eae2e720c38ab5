package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type platformImage struct {
	arch  string
	image v1.Image
}

// writeTarball writes an OCI image layout in a tarball: an index with an image for each
// architecture, which containerd, podman, skopeo and newer Docker take. The manifest.json
// beside it is what older Docker reads; it knows one architecture, this machine's.
func writeTarball(path, reference string, images []platformImage) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, one := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        one.image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: one.arch}},
		})
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	written, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	_, tag, _ := cutTag(reference)
	if err := written.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": tag,
	})); err != nil {
		return err
	}
	manifest, err := dockerManifest(reference, images)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "manifest.json"), manifest, 0o644); err != nil {
		return err
	}
	return pack(path, folder)
}

// cutTag cuts name:tag. A registry's port is not taken for a tag.
func cutTag(reference string) (name, tag string, found bool) {
	i := strings.LastIndexByte(reference, ':')
	if i < 0 || strings.ContainsRune(reference[i:], '/') {
		return reference, "", false
	}
	return reference[:i], reference[i+1:], true
}

// dockerManifest is the table of contents that `docker save` writes.
func dockerManifest(reference string, images []platformImage) ([]byte, error) {
	if len(images) == 0 {
		return nil, errors.New("no image")
	}
	chosen := images[0].image
	for _, one := range images {
		if one.arch == runtime.GOARCH {
			chosen = one.image
		}
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	config, err := chosen.ConfigName()
	if err != nil {
		return nil, err
	}
	e := entry{Config: blob(config), RepoTags: []string{reference}}
	layers, err := chosen.Layers()
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		e.Layers = append(e.Layers, blob(digest))
	}
	return json.Marshal([]entry{e})
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// pack writes the folder as a tarball. A file that is there is replaced at the end only.
func pack(path, folder string) error {
	out, err := os.CreateTemp(filepath.Dir(path), ".tar-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	w := tar.NewWriter(out)
	// WalkDir goes in lexical order, so that the same images make the same tarball.
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{
			Name: filepath.ToSlash(name), Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
		}); err != nil {
			return err
		}
		_, err = io.Copy(w, in)
		return err
	})
	if err := errors.Join(err, w.Close(), out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}
