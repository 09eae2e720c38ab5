package gather

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A token goes to no server whose certificate is not trusted, and to no other scheme.
func TestATokenIsSentToATrustedServerOnly(t *testing.T) {
	var sent atomic.Int32
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			sent.Add(1)
		}
		http.Error(w, "no such stream", http.StatusNotFound)
	})
	stranger := httptest.NewTLSServer(count)
	defer stranger.Close()
	inClear := httptest.NewServer(count)
	defer inClear.Close()
	leading := httptest.NewTLSServer(http.RedirectHandler(inClear.URL+"/live/a.flv", http.StatusFound))
	defer leading.Close()
	for name, tt := range map[string]struct {
		url, token string
		insecure   bool
		why        string
		sent       int32
	}{
		"no token":                          {stranger.URL, "", false, "404", 0},
		"a token":                           {stranger.URL, "secret", false, "not trusted", 0},
		"a token, whatever the certificate": {stranger.URL, "secret", true, "404", 1},
		"a server that leads to http":       {leading.URL, "secret", true, "another scheme", 0},
	} {
		sent.Store(0)
		legs := Run(t.Context(), Config{Wait: time.Second, Insecure: tt.insecure}, []Source{{Name: "a", URL: tt.url + "/live/a.flv", Token: tt.token}})
		if why := legs[0].Unread; !strings.Contains(why, tt.why) || strings.Contains(why, "secret") || sent.Load() != tt.sent {
			t.Errorf("%s: %q, and the token was sent %d times", name, why, sent.Load())
		}
	}
}
