// Package player serves the pages that people open: play.html, which plays a stream or a
// pair, and publish.html, which publishes a browser's camera. It also serves player.js, which
// puts the same player into pages of others, as the custom element <stream-pair>. The package holds
// the TypeScript sources (src), which `make build` bundles into dist, and embeds dist.
//
// The package carries no media. The pages speak WHEP, WHIP and server-sent events to the rest of
// the server. They use addresses relative to their own, so they also work behind a proxy that adds
// a prefix. All that a page needs comes from this package; nothing is fetched from another host.
//
// docs/players.md documents what a page tells the page that embeds it, and what it
// offers to scripts. Start with Register.
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

// The folder has only .gitkeep until the player has been built. With "all:" the server
// compiles even then, and its page says what is missing.
//
//go:embed all:dist
var dist embed.FS

// notBuilt is the whole page when the binary was compiled without the player.
const notBuilt = "the player was not built: run make build"

const (
	// pageCaching makes browsers ask for a page on every visit. So viewers get a new
	// player with the next load after an upgrade.
	pageCaching = "no-cache"
	// assetCaching is for assets, whose names have the hash of their content.
	assetCaching = "public, max-age=31536000, immutable"
)

// contentSecurityPolicy allows only the package's own code and style files, and the given sources
// of inline scripts. Any site may frame a page, because a player is made for embedding. A page may
// connect to any server over HTTP, because the other pod of a pair has another address.
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
//	GET /{app}/player.js        the custom element <stream-pair>
//	GET /{app}/assets/{file}    scripts and styles by immutable names
func Register(mux *http.ServeMux) {
	register(mux, dist)
}

func register(mux *http.ServeMux, files fs.FS) {
	mux.Handle("GET /{app}/play.html", page(files, "play.html"))
	mux.Handle("GET /{app}/publish.html", page(files, "publish.html"))
	mux.HandleFunc("GET /{app}/play/html", redirectToPlayer)
	found, err := readAssets(files)
	mux.Handle("GET /{app}/player.js", assets(found, err, func(*http.Request) string { return elementScript }))
	mux.Handle("GET /{app}/assets/{file}", assets(found, err, func(r *http.Request) string { return r.PathValue("file") }))
}

// redirectToPlayer answers the player address of other servers. The location is
// relative to the request's, so that a proxy's prefix survives.
func redirectToPlayer(w http.ResponseWriter, r *http.Request) {
	location := "../play.html"
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusFound)
}

// A file is one embedded file, ready to serve.
type file struct {
	name    string
	content []byte
	digest  [sha256.Size]byte
	etag    string
	caching string
	// location is the immutable name of the content, relative to where the content is served by
	// another name; otherwise empty.
	location string
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
	return &file{name: name, content: content, digest: sum, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, caching: caching}
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", contentType(f.name))
	h.Set("Cache-Control", f.caching)
	h.Set("ETag", f.etag)
	if f.location != "" {
		// RFC 9110 section 8.7, RFC 9530 section 3: the name and the digest for Subresource Integrity.
		h.Set("Content-Location", f.location)
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(f.digest[:])+":")
	}
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.content))
}

// contentType returns the type of a file by its name. It does not use the system's MIME table,
// which differs between machines. A wrong type in that table would make nosniff block scripts.
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

// scriptReference matches a page's reference to its script.
var scriptReference = regexp.MustCompile(`<script type="module" src="(assets/[^"]+)"></script>`)

// readPage reads a page and puts its script into it. It returns the policy that allows the script.
// Behind a load balancer the next request may reach a pod of another version, which has other
// assets. A page without its style is plain, but a page without its script does not work.
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

// page serves one HTML file with headers that allow only the page's own code.
func page(files fs.FS, name string) http.Handler {
	f, policy, err := readPage(files, name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		// The address has the viewer's token.
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

// assets serves the files beside the pages, by the name that nameOf returns. All are read at the
// start. So an unknown name costs only a map lookup and can reach no other file.
func assets(found map[string]*file, err error, nameOf func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		// Pages of any origin may load the custom element, and check its integrity. The files are public.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Content-Location, Repr-Digest")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if err != nil {
			http.Error(w, notBuilt, http.StatusServiceUnavailable)
			return
		}
		name := nameOf(r)
		f, ok := found[name]
		if !ok {
			// A load balancer may bring a page of another version here. This version's
			// script is better for it than none.
			f, ok = found[anyHash(name)]
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		f.ServeHTTP(w, r)
	})
}

// elementScript is the name of the custom element's script in every version.
const elementScript = "player-*.js"

var assetHash = regexp.MustCompile(`-[A-Za-z0-9]+\.`)

// anyHash returns a name for an asset that is the same in every version.
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
	if element, ok := found[elementScript]; ok {
		element.location = "assets/" + element.name
	}
	return found, nil
}
