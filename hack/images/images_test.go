package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImages builds both images around a small program, for both architectures, and checks
// what is in the tarballs.
func TestImages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	binaries, out := compile(t), t.TempDir()
	args := []string{
		"-binaries", binaries, "-out", out, "-root", "../..",
		"-version", "v1.2.3+meta", "-revision", "0123456789abcdef",
	}
	if err := run(args, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range images() {
		t.Run(want.Binary, func(t *testing.T) {
			path := filepath.Join(out, want.Binary+".tar")
			reference := want.Repository + ":1.2.3-meta"
			index := openLayout(t, path, reference)
			if err := validate.Index(index); err != nil {
				t.Error(err)
			}
			manifest, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			var platforms []string
			for _, descriptor := range manifest.Manifests {
				platforms = append(platforms, descriptor.Platform.String())
				image, err := index.Image(descriptor.Digest)
				if err != nil {
					t.Fatal(err)
				}
				checkConfig(t, image, want, descriptor.Platform.Architecture)
				files := checkFiles(t, image, want.Binary)
				if descriptor.Platform.Architecture == runtime.GOARCH {
					checkRuns(t, files[want.Binary])
				}
			}
			if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
				t.Error(diff)
			}
			// Older Docker reads manifest.json.
			docker, err := tarball.ImageFromPath(path, nil)
			if err != nil {
				t.Fatalf("docker load would fail: %v", err)
			}
			if err := validate.Image(docker); err != nil {
				t.Errorf("docker load would fail: %v", err)
			}
		})
	}

	t.Run("the same sources make the same bytes", func(t *testing.T) {
		again := t.TempDir()
		args[3] = again
		if err := run(args, io.Discard); err != nil {
			t.Fatal(err)
		}
		for _, image := range images() {
			a, b := read(t, filepath.Join(out, image.Binary+".tar")), read(t, filepath.Join(again, image.Binary+".tar"))
			if !bytes.Equal(a, b) {
				t.Errorf("%s differs from one build to the next", image.Binary)
			}
		}
	})
	t.Run("nothing but the tarballs is left", func(t *testing.T) {
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(images()) {
			t.Errorf("found %v", entries)
		}
	})
}

// TestProductBinariesFit: the binaries of make build and make commands start in an empty image.
func TestProductBinariesFit(t *testing.T) {
	for _, image := range images() {
		t.Run(image.Binary, func(t *testing.T) {
			path := filepath.Join("../../bin", image.Binary)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("run make build commands first (make test does): %v", err)
			}
			if err := checkBinary(content, runtime.GOARCH); err != nil {
				t.Error(err)
			}
			help, err := exec.Command(path, "--help").CombinedOutput()
			if err != nil || !strings.Contains(string(help), "--") && !strings.Contains(string(help), "  -") {
				t.Errorf("%s --help: %v\n%s", image.Binary, err, help)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	binaries := compile(t)
	none := filepath.Join(t.TempDir(), "none.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := t.TempDir()
	for _, name := range []string{"linux-amd64/streampair-operator", "linux-amd64/streampair-mediaserver"} {
		write(t, filepath.Join(script, name), []byte("#!/bin/sh\n"))
	}
	swapped := t.TempDir()
	if err := os.Symlink(filepath.Join(binaries, "linux-arm64"), filepath.Join(swapped, "linux-amd64")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args    []string
		message string
	}{
		"no CA certificates":               {[]string{"-binaries", binaries, "-ca-certificates", none}, "no CA certificates at " + none + "; install them"},
		"a file without certificates":      {[]string{"-binaries", binaries, "-ca-certificates", empty}, "no certificate in PEM form"},
		"no binary":                        {[]string{"-binaries", t.TempDir()}, "no such file"},
		"a script":                         {[]string{"-binaries", script}, "not a Linux program"},
		"another architecture's binary":    {[]string{"-binaries", swapped, "-platforms", "amd64"}, "not for amd64"},
		"a set nobody knows":               {[]string{"-binaries", binaries, "-set", "others"}, "no such set"},
		"an architecture nobody asked for": {[]string{"-binaries", binaries, "-platforms", "riscv64"}, "riscv64"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			err := run(append([]string{"-out", out, "-root", "../.."}, test.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
			if entries, _ := os.ReadDir(out); len(entries) > 0 {
				t.Errorf("left behind %v", entries)
			}
		})
	}
}

func TestImageTag(t *testing.T) {
	for version, want := range map[string]string{
		"v0.1.0": "0.1.0", "0.1.0": "0.1.0", "v1.0.0-rc.1+build.5": "1.0.0-rc.1-build.5",
		"devel": "devel", "65010ec-dirty": "65010ec-dirty", "very": "very", "v": "v",
	} {
		if got := imageTag(version); got != want {
			t.Errorf("imageTag(%q) = %q, want %q", version, got, want)
		}
	}
}

// compile builds a small program for both architectures under the names of ours.
func compile(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		for _, image := range images() {
			cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, "linux-"+arch, image.Binary), "./testdata/hello")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	return folder
}

// openLayout unpacks the tarball and returns its one index, by the name it is imported by.
func openLayout(t *testing.T, path, reference string) v1.ImageIndex {
	t.Helper()
	folder := t.TempDir()
	for name, content := range untar(t, bytes.NewReader(read(t, path))) {
		write(t, filepath.Join(folder, name), content)
	}
	opened, err := layout.FromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	top, err := opened.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%d entries in index.json", len(manifest.Manifests))
	}
	_, tag, _ := cutTag(reference)
	want := map[string]string{"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag}
	if diff := cmp.Diff(want, manifest.Manifests[0].Annotations); diff != "" {
		t.Error(diff)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func checkConfig(t *testing.T, image v1.Image, want Image, arch string) {
	t.Helper()
	got, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got.OS != "linux" || got.Architecture != arch || got.Created.Unix() != 1700000000 {
		t.Errorf("config for %s/%s of %v", got.OS, got.Architecture, got.Created)
	}
	if got.Config.User != "65532:65532" || !slices.Equal(got.Config.Entrypoint, []string{"/" + want.Binary}) || len(got.Config.Cmd) > 0 {
		t.Errorf("runs %v %v as %s", got.Config.Entrypoint, got.Config.Cmd, got.Config.User)
	}
	for _, port := range want.Ports {
		if _, ok := got.Config.ExposedPorts[port]; !ok {
			t.Errorf("port %s is not exposed", port)
		}
	}
	for name, value := range map[string]string{
		"source": "https://github.com/streampair/streampair", "version": "1.2.3-meta", "revision": "0123456789abcdef",
		"licenses": want.Licenses, "title": want.Title, "created": "2023-11-14T22:13:20Z",
	} {
		if label := got.Config.Labels["org.opencontainers.image."+name]; label != value || value == "" {
			t.Errorf("label %s is %q, want %q", name, label, value)
		}
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Config.Labels, manifest.Annotations); diff != "" {
		t.Errorf("annotations are not the labels:\n%s", diff)
	}
}

// checkFiles returns the image's files.
func checkFiles(t *testing.T, image v1.Image, binary string) map[string][]byte {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range untar(t, content) {
			files[name] = content
		}
		content.Close()
	}
	for _, name := range []string{binary, "etc/passwd", "etc/group", "licenses/LICENSE", "licenses/NOTICE", "licenses/LICENSES/LGPL-2.1-or-later.txt"} {
		if len(files[name]) == 0 {
			t.Errorf("no /%s", name)
		}
	}
	if !x509.NewCertPool().AppendCertsFromPEM(files["etc/ssl/certs/ca-certificates.crt"]) {
		t.Error("no CA certificates")
	}
	return files
}

func checkRuns(t *testing.T, program []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	write(t, path, program)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "--help").CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the program in the image: %v, %q", err, out)
	}
}

// untar returns the files of a tarball, and fails for what could differ between builds.
func untar(t *testing.T, content io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	r := tar.NewReader(content)
	for {
		header, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if second := header.ModTime.Unix(); second != 1700000000 && second != 0 || header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s is of %v by %d:%d %s", header.Name, header.ModTime, header.Uid, header.Gid, header.Uname)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}
