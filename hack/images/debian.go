package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// errNoPackages is why there is no image with ffmpeg: this machine cannot have Debian's packages.
var errNoPackages = errors.New("no packages of Debian")

// A repository has the Debian packages of one architecture, from the sources of apt on this
// machine. Its state is its own: what the machine has installed does not count.
type repository struct {
	arch   string
	folder string // an absolute path; it stays from build to build
}

// openRepository returns a repository whose lists are those of today. apt verifies their signatures.
func openRepository(folder, arch string) (*repository, error) {
	folder, err := filepath.Abs(filepath.Join(folder, arch))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%w: this machine has no %s", errNoPackages, name)
		}
	}
	r := &repository{arch: arch, folder: folder}
	for _, name := range []string{"lists/partial", "archives/partial", "none/partial"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "status"), nil, 0o644); err != nil { // nothing is installed
		return nil, err
	}
	if _, err := r.apt("update"); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	return r, nil
}

// aptTimeout is how long one call of apt-get may take.
const aptTimeout = 5 * time.Minute

// apt runs apt-get, and returns its standard output.
func (r *repository) apt(args ...string) (string, error) {
	in := func(name string) string { return filepath.Join(r.folder, name) }
	options := []string{
		"-qq",
		"-o", "APT::Architecture=" + r.arch,
		"-o", "APT::Architectures=" + r.arch,
		"-o", "APT::Sandbox::User=root", // another user could not write to the folder
		"-o", "APT::Update::Error-Mode=any",
		"-o", "APT::Install-Recommends=false",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=1",
		"-o", "Acquire::http::Timeout=20",
		"-o", "Acquire::https::Timeout=20",
		"-o", "Acquire::ForceHash=SHA256",
		"-o", "Dir::State::status=" + in("status"),
		"-o", "Dir::State::lists=" + in("lists"),
		"-o", "Dir::State::extended_states=" + in("extended_states"),
		"-o", "Dir::Cache=" + r.folder,
		"-o", "Dir::Cache::archives=" + in("archives"),
	}
	ctx, stop := context.WithTimeout(context.Background(), aptTimeout)
	defer stop()
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		last := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("apt-get %s: %w: %s", args[0], err, last[0])
	}
	return stdout.String(), nil
}

// An archive is the file of one package.
type archive struct {
	name   string // of the file
	sha256 string // in hexadecimal, of apt's signed lists
}

// fetch downloads packages, and all that they depend on. It returns their files.
func (r *repository) fetch(packages ...string) ([]string, error) {
	install := append([]string{"install", "--yes"}, packages...)
	// Those that are there already are not printed. So this call is told that none is.
	printed, err := r.apt(append(install, "--print-uris", "-o", "Dir::Cache::archives="+filepath.Join(r.folder, "none"))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	archives, err := parseArchives(printed)
	if err != nil {
		return nil, err
	}
	if _, err := r.apt(append(install, "--download-only")...); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	var paths []string
	for _, a := range archives {
		path := filepath.Join(r.folder, "archives", a.name)
		// apt takes a file that is there already by its size alone.
		if err := a.verify(path); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// parseArchives reads what apt-get --print-uris prints: 'URI' NAME SIZE SHA256:HASH
func parseArchives(printed string) ([]archive, error) {
	var archives []archive
	for line := range strings.Lines(printed) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("apt-get printed %q", line)
		}
		hash, isSHA256 := strings.CutPrefix(fields[3], "SHA256:")
		if !isSHA256 || len(hash) != hex.EncodedLen(sha256.Size) || filepath.Base(fields[1]) != fields[1] {
			return nil, fmt.Errorf("apt-get printed %q", line)
		}
		archives = append(archives, archive{name: fields[1], sha256: hash})
	}
	if len(archives) == 0 {
		return nil, errors.New("apt-get names no package")
	}
	return archives, nil
}

// verify checks a file. A file that is not what apt's lists have is removed, so that the next build
// downloads it again.
func (a archive) verify(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != a.sha256 {
		return errors.Join(fmt.Errorf("%s has the hash %s, and not %s", path, got, a.sha256), os.Remove(path))
	}
	return nil
}

// An unpacked file of a package.
type unpacked struct {
	owner string // the package
	link  string // what a symbolic link names; empty: a file
	disk  string // where the content of a file is
	mode  int64
}

// A root has the files of many packages, by their paths in an image, without leading slash.
type root struct {
	files   map[string]unpacked
	control map[string]string // what each package says of itself
}

// unpack unpacks the files of packages below folder.
func unpack(archives []string, folder string) (*root, error) {
	r := &root{files: make(map[string]unpacked), control: make(map[string]string)}
	for _, path := range archives {
		if err := r.unpack(path, folder); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
	}
	return r, nil
}

func (r *root) unpack(path, folder string) error {
	control, err := exec.Command("dpkg-deb", "--field", path).Output()
	if err != nil {
		return err
	}
	name, err := exec.Command("dpkg-deb", "--field", path, "Package").Output()
	if err != nil {
		return err
	}
	owner := strings.TrimSpace(string(name))
	r.control[owner] = string(control)
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = r.untar(owner, stdout, folder)
	_, drained := io.Copy(io.Discard, stdout) // so that dpkg-deb ends
	return errors.Join(err, drained, cmd.Wait())
}

func (r *root) untar(owner string, content io.Reader, folder string) error {
	for in := tar.NewReader(content); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := canonical(header.Name)
		if !wanted(name) {
			continue
		}
		f := unpacked{owner: owner, mode: header.Mode}
		switch header.Typeflag {
		case tar.TypeReg:
			f.disk = filepath.Join(folder, fmt.Sprint(len(r.files)))
			if err := save(f.disk, in); err != nil {
				return err
			}
		case tar.TypeLink:
			f.disk = r.files[canonical(header.Linkname)].disk
		case tar.TypeSymlink:
			f.link = header.Linkname
		default:
			continue
		}
		r.files[name] = f
	}
}

func save(path string, content io.Reader) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	return errors.Join(err, out.Close())
}
