package controlroom

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	built = fstest.MapFS{
		"dist/room.html":         {Data: []byte("<!doctype html>")},
		"dist/assets/room-1.js":  {Data: []byte("draw()")},
		"dist/assets/room-1.css": {Data: []byte("body{}")},
	}
	notBuiltYet = fstest.MapFS{"dist/.gitkeep": {}}
)

func TestFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		from       fstest.MapFS
		path       string
		code       int
		kind, body string
	}{
		"the page":            {built, "", 200, "text/html; charset=utf-8", "<!doctype html>"},
		"its script":          {built, "room-1.js", 200, "text/javascript; charset=utf-8", "draw()"},
		"its style":           {built, "room-1.css", 200, "text/css; charset=utf-8", "body{}"},
		"another file":        {built, "../room.html", 404, "text/plain; charset=utf-8", "not found"},
		"not built":           {notBuiltYet, "", 503, "text/plain; charset=utf-8", notBuilt},
		"not built, a script": {notBuiltYet, "room-1.js", 404, "text/plain; charset=utf-8", "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			f, w, r := readFiles(tt.from), httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			if tt.path == "" {
				f.page(w, r)
			} else {
				r.SetPathValue("file", tt.path)
				f.asset(w, r)
			}
			if w.Code != tt.code || w.Header().Get("Content-Type") != tt.kind || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("%d %s %q, want %d %s %q", w.Code, w.Header().Get("Content-Type"), w.Body, tt.code, tt.kind, tt.body)
			}
		})
	}
}
