package player

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

var built = fstest.MapFS{
	"dist/.gitkeep": {},
	"dist/play.html": {Data: []byte(`<!doctype html>
<link rel="stylesheet" href="assets/play-DEF456.css">
<script type="module" src="assets/play-ABC123.js"></script>
play`)},
	"dist/publish.html":            {Data: []byte("<!doctype html>publish")},
	"dist/assets/play-ABC123.js":   {Data: []byte("code()")},
	"dist/assets/player-GHI789.js": {Data: []byte("element()")},
	"dist/assets/play-DEF456.css": {
		Data: []byte("body{}"),
	},
}

var notBuiltYet = fstest.MapFS{"dist/.gitkeep": {}}

func request(t *testing.T, files fstest.MapFS, method, target string, header http.Header) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	register(mux, files)
	r := httptest.NewRequest(method, target, nil)
	for key, values := range header {
		r.Header[key] = values
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

func TestPagesAndAssets(t *testing.T) {
	type answer struct {
		Status                 int
		Type, Caching, Sniffed string
	}
	for name, c := range map[string]struct {
		files          fstest.MapFS
		method, target string
		want           answer
	}{
		"the player": {built, "GET", "/live/play.html?name=a",
			answer{200, "text/html; charset=utf-8", "no-cache", "nosniff"}},
		"the player, asked for its head": {built, "HEAD", "/live/play.html",
			answer{200, "text/html; charset=utf-8", "no-cache", "nosniff"}},
		"the publisher": {built, "GET", "/other/publish.html",
			answer{200, "text/html; charset=utf-8", "no-cache", "nosniff"}},
		"a script": {built, "GET", "/live/assets/play-ABC123.js",
			answer{200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "nosniff"}},
		"a style": {built, "GET", "/live/assets/play-DEF456.css",
			answer{200, "text/css; charset=utf-8", "public, max-age=31536000, immutable", "nosniff"}},
		"a script of another build": {built, "GET", "/live/assets/play-OLD.js",
			answer{200, "text/javascript; charset=utf-8", "no-cache", "nosniff"}},
		"no asset of any build": {built, "GET", "/live/assets/other-OLD.js",
			answer{404, "text/plain; charset=utf-8", "", "nosniff"}},
		"the custom element": {built, "GET", "/live/player.js",
			answer{200, "text/javascript; charset=utf-8", "no-cache", "nosniff"}},
		"the custom element, asked for its head": {built, "HEAD", "/live/player.js",
			answer{200, "text/javascript; charset=utf-8", "no-cache", "nosniff"}},
		"the custom element by its immutable name": {built, "GET", "/live/assets/player-GHI789.js",
			answer{200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "nosniff"}},
		"the custom element, not built": {notBuiltYet, "GET", "/live/player.js",
			answer{503, "text/plain; charset=utf-8", "", "nosniff"}},
		"an asset's folder": {built, "GET", "/live/assets/..%2Fplay.html",
			answer{404, "text/plain; charset=utf-8", "", "nosniff"}},
		"a page that takes no POST": {built, "POST", "/live/play.html",
			answer{405, "text/plain; charset=utf-8", "", "nosniff"}},
		"not built": {notBuiltYet, "GET", "/live/play.html",
			answer{503, "text/plain; charset=utf-8", "no-store", "nosniff"}},
		"not built, an asset": {notBuiltYet, "GET", "/live/assets/play-ABC123.js",
			answer{503, "text/plain; charset=utf-8", "", "nosniff"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, c.files, c.method, c.target, nil)
			got := answer{r.StatusCode, r.Header.Get("Content-Type"), r.Header.Get("Cache-Control"), r.Header.Get("X-Content-Type-Options")}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAPlayerThatWasNotBuiltSaysSoInOneLine(t *testing.T) {
	r := request(t, notBuiltYet, "GET", "/live/play.html", nil)
	body := make([]byte, 200)
	n, _ := r.Body.Read(body)
	if got, want := string(body[:n]), "the player was not built: run make build\n"; got != want {
		t.Errorf("page says %q, want %q", got, want)
	}
}

func TestAPageIsSentOnlyOnce(t *testing.T) {
	first := request(t, built, "GET", "/live/play.html", nil)
	etag := first.Header.Get("ETag")
	if etag == "" {
		t.Fatal("the page has no ETag")
	}
	again := request(t, built, "GET", "/live/play.html", http.Header{"If-None-Match": {etag}})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again with the ETag: status %d, want 304", again.StatusCode)
	}
}

// The next request may reach a pod of another version, which has other assets.
func TestAPageHasItsScript(t *testing.T) {
	r := request(t, built, "GET", "/live/play.html", nil)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := "<!doctype html>\n<link rel=\"stylesheet\" href=\"assets/play-DEF456.css\">\n<script type=\"module\">code()</script>\nplay"; string(body) != want {
		t.Errorf("the page is %q, want %q", body, want)
	}
	policy := r.Header.Get("Content-Security-Policy")
	sum := sha256.Sum256([]byte("code()"))
	if want := "script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
		t.Errorf("policy %q lacks %q", policy, want)
	}
}

func TestThePolicyKeepsToTheServersOwnCode(t *testing.T) {
	policy := request(t, built, "GET", "/live/play.html", nil).Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors *", "connect-src 'self' http: https:"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows something unsafe", policy)
	}
}

func TestTheOtherAddressLeadsToThePlayer(t *testing.T) {
	for target, want := range map[string]string{
		"/live/play/html": "../play.html",
		"/live/play/html?name=primary&backupStreamId=b%26c": "../play.html?name=primary&backupStreamId=b%26c",
	} {
		r := request(t, built, "GET", target, nil)
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusFound || got != want {
			t.Errorf("%s leads to %d %q, want 302 %q", target, r.StatusCode, got, want)
		}
	}
}

func TestTheCustomElementTellsItsImmutableNameAndDigest(t *testing.T) {
	r := request(t, built, "GET", "/live/player.js", nil)
	sum := sha256.Sum256([]byte("element()"))
	for header, want := range map[string]string{
		"Content-Location":             "assets/player-GHI789.js",
		"Repr-Digest":                  "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
		"Access-Control-Allow-Origin":  "*",
		"Cross-Origin-Resource-Policy": "cross-origin",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	byName := request(t, built, "GET", "/live/assets/player-GHI789.js", nil)
	if got := byName.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("by its immutable name: Access-Control-Allow-Origin is %q, so no page can check its integrity", got)
	}
}
