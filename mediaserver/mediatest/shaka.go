package mediatest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
)

// ShakaPage returns the address of a page that plays an HLS playlist by Shaka Player, until the test
// ends. The page is of another origin than the playlist. Its video element has the id video, and
// window.errors has Shaka's errors.
func ShakaPage(tb TB, playlist string) string {
	tb.Helper()
	SkipInShort(tb)
	_, source, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(source), "testdata", "shaka")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "shaka-player")); err != nil {
		tb.Fatal("this test needs Shaka Player: run make .cache/shaka.installed")
	}
	s := httptest.NewServer(http.FileServer(http.Dir(folder)))
	tb.Cleanup(s.Close)
	return s.URL + "/index.html?url=" + url.QueryEscape(playlist)
}
