package mediatest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
)

// ClientsPage returns the address of a page with clients of WHEP and WHIP of others, until the test
// ends. The page is of another origin than the server. Its functions play, publish and stop take the
// name of a client first, "whip-whep" or "eyevinn", which is the id of the client's video element too.
func ClientsPage(tb TB) string {
	tb.Helper()
	SkipInShort(tb)
	_, source, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(source), "testdata", "clients")
	if _, err := os.Stat(filepath.Join(folder, "dist", "clients.js")); err != nil {
		tb.Fatal("this test needs clients of others: run make .cache/clients.built")
	}
	s := httptest.NewServer(http.FileServer(http.Dir(folder)))
	tb.Cleanup(s.Close)
	return s.URL + "/index.html"
}
