// Package player serves the pages that people open: play.html, which plays a stream
// or a pair, and publish.html, which publishes a browser's camera. It holds their
// TypeScript sources (src), which `make build` bundles into dist, and dist embedded.
//
// It is not a media path: the pages speak WHEP, WHIP and server-sent events to the
// rest of the server, at addresses relative to their own, so they also work behind a
// proxy that adds a prefix. Everything a page needs comes from this package; nothing
// is fetched from another host.
//
// What a page tells the page that embeds it, and what it offers to scripts, is
// documented in README.md. Start from Register.
package player

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The folder holds only .gitkeep until the player has been built; "all:" lets the
// server compile then, and say on its page what is missing.
//
//go:embed all:dist
var dist embed.FS

// notBuilt is all that a page says when the binary was compiled without it.
const notBuilt = "the player was not built: run make build"

const (
	// A page is asked for again on every visit: viewers get a new player with the next load
	// after an upgrade.
	pageCaching = "no-cache"
	// An asset's name has the hash of its content in it.
	assetCaching = "public, max-age=31536000, immutable"
)

// contentSecurityPolicy allows no code and no style but the package's own files, and the
// scripts that stand in the page, whose sources are given. A page may be framed anywhere,
// because embedding is what a player is for, and may reach any server over HTTP, because the
// other pod of a pair has another address.
func contentSecurityPolicy(scripts []string) string {
	return strings.Join([]string{
		"default-src 'none'",
		strings.Join(append([]string{"script-src 'self'"}, scripts...), " "),
		"style-src 'self'",
		"img-src 'self' data:",
		"media-src 'self' blob: http: https:",
		"connect-src 'self' http: https:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors *",
		"require-trusted-types-for 'script'",
	}, "; ")
}

// Register adds the player's pages to mux:
//
//	GET /{app}/play.html        the player
//	GET /{app}/publish.html     camera and microphone to WHIP
//	GET /{app}/play/html        redirects to play.html with the same query
//	GET /{app}/assets/{file}    scripts and styles, for pages of versions before
func Register(mux *http.ServeMux) {
	register(mux, dist)
}

func register(mux *http.ServeMux, files fs.FS) {
	mux.Handle("GET /{app}/play.html", page(files, "play.html"))
	mux.Handle("GET /{app}/publish.html", page(files, "publish.html"))
	mux.HandleFunc("GET /{app}/play/html", redirectToPlayer)
	mux.Handle("GET /{app}/assets/{file}", assets(files))
}

// redirectToPlayer answers the address that other servers' players have. The
// location is relative to the request's, so that a prefix added by a proxy survives.
func redirectToPlayer(w http.ResponseWriter, r *http.Request) {
	location := "../play.html"
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusFound)
}

// A file is one embedded file, ready to be served.
type file struct {
	name    string
	content []byte
	etag    string
	caching string
}

func readFile(files fs.FS, name, caching string) (*file, error) {
	content, err := fs.ReadFile(files, path.Join("dist", name))
	if err != nil {
		return nil, fmt.Errorf("read embedded %s: %w", name, err)
	}
	return newFile(name, caching, content), nil
}

func newFile(name, caching string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{name: name, content: content, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, caching: caching}
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", contentType(f.name))
	h.Set("Cache-Control", f.caching)
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.content))
}

// contentType does not ask the system's MIME table, which differs between machines
// and can name scripts so that nosniff then blocks them.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// scriptReference is a page's reference to its script.
var scriptReference = regexp.MustCompile(`<script type="module" src="(assets/[^"]+)"></script>`)

// readPage reads a page with its script in it, and returns the policy that allows the script.
// Behind a load balancer the next request may reach a pod of another version, which has other
// assets: without its style the page is plain, without its script it would be dead.
func readPage(files fs.FS, name string) (f *file, policy string, err error) {
	html, err := fs.ReadFile(files, path.Join("dist", name))
	if err != nil {
		return nil, "", fmt.Errorf("read embedded %s: %w", name, err)
	}
	var scripts []string
	html = scriptReference.ReplaceAllFunc(html, func(reference []byte) []byte {
		asset := string(scriptReference.FindSubmatch(reference)[1])
		script, readErr := fs.ReadFile(files, path.Join("dist", asset))
		if readErr != nil || bytes.Contains(script, []byte("</script")) {
			err = fmt.Errorf("%s cannot stand in %s: %w", asset, name, cmp.Or(readErr, errors.New("the script ends its element")))
			return reference
		}
		sum := sha256.Sum256(script)
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		return slices.Concat([]byte(`<script type="module">`), script, []byte("</script>"))
	})
	return newFile(name, pageCaching, html), contentSecurityPolicy(scripts), err
}

// page serves one HTML file with the headers that keep it to its own code.
func page(files fs.FS, name string) http.Handler {
	f, policy, err := readPage(files, name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		// The address holds the viewer's token.
		h.Set("Referrer-Policy", "no-referrer")
		if err != nil {
			h.Set("Cache-Control", "no-store")
			http.Error(w, notBuilt, http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Security-Policy", policy)
		f.ServeHTTP(w, r)
	})
}

// assets serves the files beside the pages. All are read once, so that an unknown
// name costs a map lookup and can reach nothing else.
func assets(files fs.FS) http.Handler {
	found, err := readAssets(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err != nil {
			http.Error(w, notBuilt, http.StatusServiceUnavailable)
			return
		}
		name := r.PathValue("file")
		f, ok := found[name]
		if !ok {
			// A page of another version, which a load balancer has brought here: this version's
			// script is more use to it than none.
			f, ok = found[anyHash(name)]
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		f.ServeHTTP(w, r)
	})
}

var assetHash = regexp.MustCompile(`-[A-Za-z0-9]+\.`)

// anyHash returns the name that stands for an asset of any version.
func anyHash(name string) string { return assetHash.ReplaceAllString(name, "-*.") }

func readAssets(files fs.FS) (map[string]*file, error) {
	entries, err := fs.ReadDir(files, "dist/assets")
	if err != nil {
		return nil, fmt.Errorf("list embedded assets: %w", err)
	}
	found := make(map[string]*file, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		f, err := readFile(files, path.Join("assets", e.Name()), assetCaching)
		if err != nil {
			return nil, err
		}
		found[e.Name()] = f
		found[anyHash(e.Name())] = newFile(e.Name(), pageCaching, f.content)
	}
	if len(found) == 0 {
		return nil, errors.New("no embedded assets")
	}
	return found, nil
}
