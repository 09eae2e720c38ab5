package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonRoot is the user of the processes. The number is that of other base-less images, and
// what the operator's pod templates say.
const nonRoot = 65532

// An Image is what one container image consists of.
type Image struct {
	Repository  string // with registry, without tag
	Title       string
	Description string
	Licenses    string   // an SPDX expression
	Binary      string   // its name, which is also the entrypoint's: /streampair-…
	Ports       []string // such as 8189/udp
	FFmpeg      bool     // whether ffmpeg of Debian is beside the binary
	Version     string   // also the tag
	Revision    string   // git commit; may be empty
	Created     time.Time
	Files       []file // beside the binary
}

// Reference is the image's name with its tag.
func (i Image) Reference() string { return i.Repository + ":" + i.Version + i.variant() }

// Tarball is the name of the image's tarball.
func (i Image) Tarball() string { return i.Binary + i.variant() + ".tar" }

func (i Image) variant() string {
	if i.FFmpeg {
		return "-ffmpeg"
	}
	return ""
}

// A file of an image, or a symbolic link. Folders above it are made as needed.
type file struct {
	path    string // without leading slash
	mode    int64
	content []byte
	link    string // what the link names; empty: a file
}

// build returns the image for one architecture. The programs that the binary starts are a layer of
// their own.
func build(i Image, arch, binary string, programs []file) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	if err := checkBinary(content, arch); err != nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	// One layer each: certificates, licences and programs change less often than the binary.
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, files := range [][]file{i.Files, programs, {{path: i.Binary, mode: 0o755, content: content}}} {
		if len(files) == 0 {
			continue
		}
		layer, err := newLayer(files, i.Created)
		if err != nil {
			return nil, err
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: i.Created}, CreatedBy: "make images"},
		})
		if err != nil {
			return nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: i.Created}
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", nonRoot, nonRoot),
		Entrypoint:   []string{"/" + i.Binary},
		WorkingDir:   "/",
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=/" + certificatesPath},
		ExposedPorts: map[string]struct{}{},
		Labels:       i.labels(),
	}
	for _, port := range i.Ports {
		config.Config.ExposedPorts[port] = struct{}{}
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, i.labels()).(v1.Image), nil
}

// labels are the standard ones:
// https://github.com/opencontainers/image-spec/blob/main/annotations.md
func (i Image) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       i.Title,
		"org.opencontainers.image.description": i.Description,
		"org.opencontainers.image.source":      "https://github.com/streampair/streampair",
		"org.opencontainers.image.version":     i.Version,
		"org.opencontainers.image.licenses":    i.Licenses,
		"org.opencontainers.image.created":     i.Created.Format(time.RFC3339),
	}
	if i.Revision != "" {
		labels["org.opencontainers.image.revision"] = i.Revision
	}
	return labels
}

// checkBinary refuses what would not start in an empty image: another system's or
// architecture's program, or one that wants a dynamic linker.
func checkBinary(content []byte, arch string) error {
	machine, known := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if !known {
		return fmt.Errorf("unknown architecture %q", arch)
	}
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("not a Linux program: %w", err)
	}
	defer program.Close()
	if program.Machine != machine {
		return fmt.Errorf("built for %v, not for %s", program.Machine, arch)
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("linked dynamically; build with CGO_ENABLED=0")
		}
	}
	return nil
}

// newLayer returns a layer with the files and the folders above them, in the same order and
// with the same bytes each time.
func newLayer(files []file, modified time.Time) (v1.Layer, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	header := func(h tar.Header) error {
		h.ModTime, h.Format = modified, tar.FormatPAX
		return w.WriteHeader(&h)
	}
	files = slices.SortedFunc(slices.Values(files), func(a, b file) int { return bytes.Compare([]byte(a.path), []byte(b.path)) })
	made := map[string]bool{".": true}
	for _, f := range files {
		var missing []string
		for folder := path.Dir(f.path); !made[folder]; folder = path.Dir(folder) {
			made[folder] = true
			missing = append(missing, folder)
		}
		for _, folder := range slices.Backward(missing) {
			if err := header(tar.Header{Name: folder + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return nil, err
			}
		}
		if f.link != "" {
			if err := header(tar.Header{Name: f.path, Typeflag: tar.TypeSymlink, Linkname: f.link, Mode: 0o777}); err != nil {
				return nil, err
			}
			continue
		}
		if err := header(tar.Header{Name: f.path, Typeflag: tar.TypeReg, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching) // compressed once, and not again for each use
}
