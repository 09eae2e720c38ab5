package mediatest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
)

// AntMediaPages returns the address of a folder, until the test ends. It has play.html, with the web
// player of Ant Media Server, and adaptor.html, with its WebRTC adaptor. Both are as npm has them.
func AntMediaPages(tb TB) string {
	tb.Helper()
	SkipInShort(tb)
	_, source, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(source), "testdata", "antmedia")
	if _, err := os.Stat(filepath.Join(folder, "packages", "web_player")); err != nil {
		tb.Fatal("this test needs players of Ant Media Server: run make .cache/antmedia.installed")
	}
	s := httptest.NewServer(http.FileServer(http.Dir(folder)))
	tb.Cleanup(s.Close)
	return s.URL + "/"
}
