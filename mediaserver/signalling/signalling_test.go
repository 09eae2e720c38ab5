package signalling

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
)

func TestICEServersAreLinked(t *testing.T) {
	got := iceServerLinks([]webrtc.ICEServer{
		{URLs: []string{"stun:stun.example.org"}},
		{URLs: []string{"turn:turn.example.org?transport=udp", "turn:turn.example.org?transport=tcp"}, Username: `u"1`, Credential: "c\\\r\n"},
		{URLs: []string{"turn:open.example.org"}, Username: "u"},
	})
	const credentials = `; username="u\"1"; credential="c\\"; credential-type="password"`
	want := []string{
		`<stun:stun.example.org>; rel="ice-server"`,
		`<turn:turn.example.org?transport=udp>; rel="ice-server"` + credentials,
		`<turn:turn.example.org?transport=tcp>; rel="ice-server"` + credentials,
		`<turn:open.example.org>; rel="ice-server"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokens(t *testing.T) {
	type tokens struct{ Bearer, Any string }
	for name, tt := range map[string]struct {
		authorization, query string
		want                 tokens
	}{
		"none":                     {"", "", tokens{}},
		"of the header":            {"Bearer abc", "", tokens{"abc", "abc"}},
		"in any case, with spaces": {"bEARER   abc ", "", tokens{"abc", "abc"}},
		"of the URL":               {"", "?token=def", tokens{"", "def"}},
		"the header's comes first": {"Bearer abc", "?token=def", tokens{"abc", "abc"}},
		"an empty header":          {"Bearer ", "?token=def", tokens{"", "def"}},
		"another scheme":           {"Basic abc", "?token=def", tokens{"", "def"}},
		"no scheme":                {"abc", "", tokens{}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+tt.query, nil)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		if diff := cmp.Diff(tt.want, tokens{BearerToken(r), Token(r)}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAnAlternateIsLinked(t *testing.T) {
	w := httptest.NewRecorder()
	LinkAlternate(w, "")
	LinkAlternate(w, "http://192.0.2.1:5080")
	if diff := cmp.Diff([]string{`<http://192.0.2.1:5080>; rel="alternate"`}, w.Header().Values("Link")); diff != "" {
		t.Error(diff)
	}
}

func TestReadBody(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"the type", "application/sdp", "v=0", 0},
		{"with a parameter", "Application/SDP; charset=utf-8", "v=0", 0},
		{"as long as may be", "application/sdp", strings.Repeat("a", 10), 0},
		{"longer", "application/sdp", strings.Repeat("a", 11), http.StatusRequestEntityTooLarge},
		{"another type", "text/plain", "v=0", http.StatusUnsupportedMediaType},
		{"no type", "", "v=0", http.StatusUnsupportedMediaType},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			body, err := ReadBody(httptest.NewRecorder(), r, "application/sdp", 10)
			switch {
			case err == nil && (test.status != 0 || string(body) != test.body):
				t.Errorf("got %q, want status %d", body, test.status)
			case err != nil && err.Status != test.status:
				t.Errorf("status %d, want %d: %s", err.Status, test.status, err.Message)
			}
		})
	}
	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(http.ErrHandlerTimeout))
	r.Header.Set("Content-Type", "application/sdp")
	if _, err := ReadBody(httptest.NewRecorder(), r, "application/sdp", 10); err == nil || err.Status != http.StatusBadRequest {
		t.Errorf("a body that breaks off: %v", err)
	}
}

func TestLocationHasThePrefixThatAProxyStripped(t *testing.T) {
	for name, test := range map[string]struct {
		prefixes []string
		want     string
	}{
		"no proxy":                    {nil, "/live/whip/primary/s1"},
		"a prefix":                    {[]string{"/media"}, "/media/live/whip/primary/s1"},
		"a prefix with a slash after": {[]string{"/media/"}, "/media/live/whip/primary/s1"},
		"of two segments":             {[]string{"/a/b-c.d"}, "/a/b-c.d/live/whip/primary/s1"},
		"the root":                    {[]string{"/"}, "/live/whip/primary/s1"},
		"empty":                       {[]string{""}, "/live/whip/primary/s1"},
		"two proxies, one header":     {[]string{"/outer, /inner"}, "/outer/inner/live/whip/primary/s1"},
		"two proxies, two headers":    {[]string{"/outer", "/inner"}, "/outer/inner/live/whip/primary/s1"},
		"another host":                {[]string{"//evil.example"}, "/live/whip/primary/s1"},
		"another host, in parts":      {[]string{"/", "//evil.example"}, "/live/whip/primary/s1"},
		"a URL":                       {[]string{"https://evil.example"}, "/live/whip/primary/s1"},
		"a query":                     {[]string{"/a?b"}, "/live/whip/primary/s1"},
		"a backslash":                 {[]string{"/\\evil.example"}, "/live/whip/primary/s1"},
		"not ASCII":                   {[]string{"/ü"}, "/live/whip/primary/s1"},
		"too long":                    {[]string{"/" + strings.Repeat("x", maxPrefix)}, "/live/whip/primary/s1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/live/whip/primary", nil)
			for _, prefix := range test.prefixes {
				r.Header.Add("X-Forwarded-Prefix", prefix)
			}
			if got := PathBelow(r, "s1"); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
