package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// ffmpegFiles returns ffmpeg for one architecture, as Debian packages it: the program and what it is
// linked with, and no shell, documentation or plugin. Folder holds downloads from build to build.
func ffmpegFiles(folder, arch string) ([]file, error) {
	repository, err := openRepository(folder, arch)
	if err != nil {
		return nil, err
	}
	// base-files has the texts of licences that the copyright files of others refer to.
	archives, err := repository.fetch("ffmpeg", "base-files")
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "streampair-images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	root, err := unpack(archives, work)
	if err != nil {
		return nil, err
	}
	return root.program("usr/bin/ffmpeg")
}

// merged are folders that are links to those of the same name in usr.
func merged() []string { return []string{"bin", "lib", "lib64", "sbin"} }

// canonical returns a path as it is in an image: without leading slash, and in usr where Debian
// merges the folders.
func canonical(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains(merged(), first) {
		return "usr/" + name
	}
	return name
}

const (
	docs     = "usr/share/doc/"
	licenses = "usr/share/common-licenses/"
	release  = "usr/lib/os-release"
)

// wanted reports whether a file of a package may be of use in an image.
func wanted(name string) bool {
	return strings.HasPrefix(name, "usr/bin/") || strings.HasPrefix(name, "usr/lib") || strings.HasPrefix(name, licenses) ||
		strings.HasPrefix(name, docs) && (path.Base(name) == "copyright" || strings.Count(name, "/") == strings.Count(docs, "/"))
}

// A program is a program of a root with all files that it needs.
type program struct {
	*root
	files    map[string]file
	packages map[string]bool // that the files are of
}

// program returns a program, the shared objects that it is linked with, the copyright of all, and
// what scanners for known vulnerabilities read: which packages they are of.
func (r *root) program(name string) ([]file, error) {
	p := &program{root: r, files: make(map[string]file), packages: make(map[string]bool)}
	if err := p.add(name); err != nil {
		return nil, err
	}
	for _, other := range slices.Sorted(maps.Keys(r.files)) {
		if strings.HasPrefix(other, licenses) || other == release {
			if err := p.add(other); err != nil {
				return nil, err
			}
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(p.packages)) {
		if err := p.addCopyright(owner); err != nil {
			return nil, err
		}
	}
	for owner := range p.packages {
		p.put(file{path: "var/lib/dpkg/status.d/" + owner, mode: 0o644, content: []byte(r.control[owner])})
	}
	if _, found := p.files[release]; found {
		p.put(file{path: "etc/os-release", link: "/" + release})
	}
	for _, folder := range merged() {
		for name := range p.files {
			if strings.HasPrefix(name, "usr/"+folder+"/") {
				p.put(file{path: folder, link: "usr/" + folder})
				break
			}
		}
	}
	return slices.Collect(maps.Values(p.files)), nil
}

func (p *program) put(f file) { p.files[f.path] = f }

// add adds a file, what it links to, and the shared objects that it needs.
func (p *program) add(name string) error {
	if _, there := p.files[name]; there {
		return nil
	}
	f, found := p.root.files[name]
	if !found {
		return fmt.Errorf("no package has /%s", name)
	}
	p.packages[f.owner] = true
	if f.link != "" {
		target := linked(name, f.link)
		p.put(file{path: name, link: "/" + target})
		return p.add(target)
	}
	content, err := os.ReadFile(f.disk)
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if f.mode&0o111 != 0 {
		mode = 0o755
	}
	p.put(file{path: name, mode: mode, content: content})
	return p.addNeeded(name, f.disk)
}

// addNeeded adds what the dynamic linker loads for a file.
func (p *program) addNeeded(name, disk string) error {
	object, err := elf.Open(disk)
	var notELF *elf.FormatError
	if errors.As(err, &notELF) || errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("/%s: %w", name, err)
	}
	defer object.Close()
	for _, segment := range object.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		linker, err := io.ReadAll(segment.Open())
		if err != nil {
			return err
		}
		if err := p.add(canonical(strings.TrimRight(string(linker), "\x00"))); err != nil {
			return err
		}
	}
	needed, err := object.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("/%s: %w", name, err)
	}
	for _, library := range needed {
		if err := p.addLibrary(library, object.Machine); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	return nil
}

// addLibrary adds a shared object by its name. One in a folder of its own gets a link where the
// dynamic linker looks. Debian makes such links when it installs, such as that of libblas.so.3.
func (p *program) addLibrary(name string, machine elf.Machine) error {
	folder := map[elf.Machine]string{elf.EM_X86_64: "usr/lib/x86_64-linux-gnu/", elf.EM_AARCH64: "usr/lib/aarch64-linux-gnu/"}[machine]
	for _, there := range []string{folder + name, "usr/lib/" + name} {
		if _, found := p.root.files[there]; found {
			return p.add(there)
		}
	}
	var elsewhere []string
	for other := range p.root.files {
		if strings.HasPrefix(other, folder) && path.Base(other) == name {
			elsewhere = append(elsewhere, other)
		}
	}
	if len(elsewhere) != 1 {
		return fmt.Errorf("%d packages have %s", len(elsewhere), name)
	}
	p.put(file{path: folder + name, link: "/" + elsewhere[0]})
	return p.add(elsewhere[0])
}

// addCopyright adds the copyright file of a package. Some packages have that of another one.
func (p *program) addCopyright(owner string) error {
	folder := docs + owner
	if f := p.root.files[folder]; f.link != "" {
		folder = linked(folder, f.link)
		p.put(file{path: docs + owner, link: "/" + folder})
	}
	return p.add(folder + "/copyright")
}

// linked returns the path that the symbolic link at name leads to.
func linked(name, link string) string {
	if path.IsAbs(link) {
		return canonical(link)
	}
	return canonical(path.Join(path.Dir(name), link))
}
