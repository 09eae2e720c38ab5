package controlroom

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

// The folder has only .gitkeep until the page has been built. With "all:" the package compiles even
// then, and the page says what is missing.
//
//go:embed all:dist
var dist embed.FS

// notBuilt is the whole page when the binary was compiled without the page.
const notBuilt = "the control room was not built: run make build"

// contentTypes are the types of the files by the ends of their names. The system's table differs
// between machines.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
}

// files are the embedded files: room.html, and what is below assets.
type files struct {
	html   []byte // nil: the page was not built
	assets map[string][]byte
}

func readFiles(from fs.FS) *files {
	f := &files{assets: make(map[string][]byte)}
	html, err := fs.ReadFile(from, "dist/room.html")
	if err != nil {
		return f
	}
	f.html = html
	names, _ := fs.Glob(from, "dist/assets/*") // fails only for a wrong pattern
	for _, name := range names {
		if content, err := fs.ReadFile(from, name); err == nil {
			f.assets[path.Base(name)] = content
		}
	}
	return f
}

func (f *files) page(w http.ResponseWriter, _ *http.Request) {
	if f.html == nil {
		http.Error(w, notBuilt, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", contentTypes[".html"])
	_, _ = w.Write(f.html) // fails only if the client is gone
}

func (f *files) asset(w http.ResponseWriter, r *http.Request) {
	content, ok := f.assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentTypes[path.Ext(r.PathValue("file"))])
	_, _ = w.Write(content) // fails only if the client is gone
}
