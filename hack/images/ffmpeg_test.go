package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// packages keeps what is downloaded, for make images and the next test.
const packages = "../../.cache/debian"

// TestTheImageWithFFmpeg builds the image around a small program, and runs the ffmpeg that is in it.
func TestTheImageWithFFmpeg(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	out := t.TempDir()
	args := []string{
		"-set", "ffmpeg", "-platforms", runtime.GOARCH, "-binaries", compile(t), "-out", out, "-root", "../..",
		"-version", "v1.2.3+meta", "-revision", "0123456789abcdef", "-packages", packages,
	}
	var printed strings.Builder
	if err := run(args, &printed); err != nil {
		t.Fatal(err)
	}
	tarball := filepath.Join(out, "streampair-mediaserver-ffmpeg.tar")
	if _, err := os.Stat(tarball); errors.Is(err, os.ErrNotExist) {
		t.Skip(strings.TrimSpace(printed.String()))
	}
	index := openLayout(t, tarball, "ghcr.io/streampair/mediaserver:1.2.3-meta-ffmpeg")
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, image, ffmpegImage(), runtime.GOARCH)
	files := checkFiles(t, image, "streampair-mediaserver")

	t.Run("each package has its copyright, and nothing else of its documentation", func(t *testing.T) {
		got, want := map[string]bool{}, map[string]bool{}
		for name, content := range files {
			if strings.HasPrefix(name, "usr/share/doc/") {
				got[path.Base(name)] = true
			}
			if owner, is := strings.CutPrefix(name, "var/lib/dpkg/status.d/"); is && !strings.HasPrefix(string(content), "Package: "+owner+"\n") {
				t.Errorf("%s has %q", name, content)
			}
		}
		want["copyright"] = true
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files of documentation (-want +got):\n%s", diff)
		}
		for _, name := range []string{
			"usr/share/doc/ffmpeg/copyright", "usr/share/doc/libc6/copyright",
			"usr/share/common-licenses/GPL-2", "usr/lib/os-release", "var/lib/dpkg/status.d/libc6",
		} {
			if len(files[name]) == 0 {
				t.Errorf("no /%s", name)
			}
		}
	})
	t.Run("there is no shell", func(t *testing.T) {
		var programs []string
		for name := range files {
			if strings.HasPrefix(name, "usr/bin/") {
				programs = append(programs, name)
			}
		}
		if diff := cmp.Diff([]string{"usr/bin/ffmpeg"}, programs); diff != "" {
			t.Errorf("programs (-want +got):\n%s", diff)
		}
	})
	t.Run("ffmpeg encodes and decodes as user 65532", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("chroot needs root")
		}
		root := extract(t, image)
		encoded := runIn(t, root, nil, "-f lavfi -i testsrc2=size=320x180:rate=10 -frames:v 10 -c:v libx264 -f flv pipe:1")
		pictures := runIn(t, root, encoded, "-f flv -i pipe:0 -vf scale=160:90 -pix_fmt yuv420p -f rawvideo pipe:1")
		if want := 10 * 160 * 90 * 3 / 2; len(pictures) != want {
			t.Errorf("%d bytes of pictures, want %d", len(pictures), want)
		}
	})
}

// extract unpacks an image into a folder that everybody may read.
func extract(t *testing.T, image v1.Image) (root string) {
	t.Helper()
	root, err := os.MkdirTemp("", "streampair-image-") // t.TempDir is in a folder of root alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	content, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range content {
		r, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(r); ; {
			header, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			place(t, filepath.Join(root, header.Name), header, in)
		}
		r.Close()
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func place(t *testing.T, name string, header *tar.Header, content io.Reader) {
	t.Helper()
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		err = os.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		err = os.Symlink(header.Linkname, name)
	default:
		err = errors.Join(save(name, content), os.Chmod(name, header.FileInfo().Mode()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runIn runs the ffmpeg of an unpacked image, and returns its standard output.
func runIn(t *testing.T, root string, stdin []byte, args string) []byte {
	t.Helper()
	cmd := exec.Command("/usr/bin/ffmpeg", append([]string{"-hide_banner", "-loglevel", "error"}, strings.Fields(args)...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{}, bytes.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nonRoot, Gid: nonRoot}}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", args, err, stderr.String())
	}
	return stdout.Bytes()
}

// TestNoPackages: a machine without apt still makes the other images, and leaves no old tarball.
func TestNoPackages(t *testing.T) {
	out := t.TempDir()
	binaries := compile(t)
	old := filepath.Join(out, "streampair-mediaserver-ffmpeg.tar")
	write(t, old, []byte("of another version"))
	t.Setenv("PATH", t.TempDir())
	var printed strings.Builder
	if err := run([]string{"-set", "ffmpeg", "-binaries", binaries, "-out", out, "-root", "../..", "-packages", t.TempDir()}, &printed); err != nil {
		t.Fatal(err)
	}
	want := "ghcr.io/streampair/mediaserver:devel-ffmpeg is left out: for amd64: no packages of Debian: this machine has no apt-get\n"
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the tarball of another version: %v", err)
	}
}

func TestParseArchives(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for name, test := range map[string]struct {
		printed string
		want    []archive
		message string
	}{
		"two packages": {
			"'mirror/a.deb' a_1_amd64.deb 3 SHA256:" + hash + "\n'mirror/b.deb' b_2%3a1_all.deb 4 SHA256:" + hash + "\n",
			[]archive{{"a_1_amd64.deb", hash}, {"b_2%3a1_all.deb", hash}}, "",
		},
		"none":                     {"", nil, "names no package"},
		"a weak hash":              {"'mirror/a.deb' a_1_amd64.deb 3 MD5Sum:" + hash + "\n", nil, "apt-get printed"},
		"a name with a folder":     {"'mirror/a.deb' ../a_1_amd64.deb 3 SHA256:" + hash + "\n", nil, "apt-get printed"},
		"something else":           {"Reading package lists...\n", nil, "apt-get printed"},
		"a hash that is too short": {"'mirror/a.deb' a_1_amd64.deb 3 SHA256:0f\n", nil, "apt-get printed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseArchives(test.printed)
			if (err == nil) != (test.message == "") || err != nil && !strings.Contains(err.Error(), test.message) {
				t.Errorf("error %v, want one with %q", err, test.message)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(archive{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFileThatIsNotInTheListsIsRefusedAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.deb")
	write(t, path, []byte("hello\n"))
	good := archive{"a.deb", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}
	if err := good.verify(path); err != nil {
		t.Error(err)
	}
	if err := (archive{"a.deb", strings.Repeat("0f", 32)}).verify(path); err == nil || !strings.Contains(err.Error(), "has the hash 5891b5") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestWhatAProgramNeeds: paths and links are as Debian's packages have them.
func TestWhatAProgramNeeds(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "content")
	write(t, disk, []byte("no ELF"))
	text := func(owner string) unpacked { return unpacked{owner: owner, disk: disk, mode: 0o600} }
	link := func(owner, target string) unpacked { return unpacked{owner: owner, link: target} }
	for name, test := range map[string]struct {
		files   map[string]unpacked
		want    []string // path, or path -> link
		message string
	}{
		"a link to another package's file, in a folder that is merged": {
			files: map[string]unpacked{
				"usr/bin/program":             link("one", "/lib/two"),
				"usr/lib/two":                 text("two"),
				"usr/lib/other":               text("three"),
				"usr/share/doc/one/copyright": text("one"),
				"usr/share/doc/two":           link("two", "one"),
			},
			want: []string{
				"bin -> usr/bin", "lib -> usr/lib",
				"usr/bin/program -> /usr/lib/two", "usr/lib/two",
				"usr/share/doc/one/copyright", "usr/share/doc/two -> /usr/share/doc/one",
				"var/lib/dpkg/status.d/one", "var/lib/dpkg/status.d/two",
			},
		},
		"a package without copyright": {
			files:   map[string]unpacked{"usr/bin/program": text("one")},
			message: "no package has /usr/share/doc/one/copyright",
		},
		"a link to nothing": {
			files:   map[string]unpacked{"usr/bin/program": link("one", "../sbin/none")},
			message: "no package has /usr/sbin/none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := (&root{files: test.files}).program("usr/bin/program")
			if (err == nil) != (test.message == "") || err != nil && err.Error() != test.message {
				t.Errorf("error %v, want %q", err, test.message)
			}
			var got []string
			for _, f := range files {
				if f.link == "" && f.mode != 0o644 {
					t.Errorf("%s has mode %o", f.path, f.mode)
				}
				if f.link != "" {
					f.path += " -> " + f.link
				}
				got = append(got, f.path)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}
