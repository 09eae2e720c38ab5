package server

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An issuer signs tokens, and serves its key set.
type issuer struct {
	*httptest.Server
	t    *testing.T
	down atomic.Bool
	asks atomic.Int32                // requests for the key set
	keys atomic.Pointer[[]issuerKey] // the last one signs
}

type issuerKey struct {
	kid string
	ed25519.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t}
	i.keys.Store(&[]issuerKey{})
	i.rotate()
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.asks.Add(1)
		if i.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(i.set())
	}))
	t.Cleanup(i.Close)
	return i
}

// rotate adds a key, which signs from now on.
func (i *issuer) rotate() {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	keys := append([]issuerKey{}, *i.keys.Load()...)
	keys = append(keys, issuerKey{fmt.Sprint("key-", len(keys)), private})
	i.keys.Store(&keys)
}

// set returns the JSON Web Key Set.
func (i *issuer) set() []byte {
	var keys []map[string]string
	for _, k := range *i.keys.Load() {
		keys = append(keys, map[string]string{
			"kty": "OKP", "crv": "Ed25519", "kid": k.kid, "x": base64.RawURLEncoding.EncodeToString(k.Public().(ed25519.PublicKey)),
		})
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// token returns a token for the pair sunday with the claims over it. A nil claim is left out.
func (i *issuer) token(claims jwt.MapClaims) string {
	keys := *i.keys.Load()
	last := keys[len(keys)-1]
	return i.sign(jwt.SigningMethodEdDSA, last.kid, last.PrivateKey, claims)
}

func (i *issuer) sign(method jwt.SigningMethod, kid string, key crypto.PrivateKey, claims jwt.MapClaims) string {
	i.t.Helper()
	all := jwt.MapClaims{"iss": "https://login.example", "aud": "streampair:default/sunday", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token := jwt.NewWithClaims(method, all)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// call lets a server call the issuer.
func (i *issuer) call(c *Config) {
	c.JWKSNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.keySetTLS = i.Client().Transport.(*http.Transport).TLSClientConfig
}

// manifest returns the pair sunday, whose publishers and viewers show the issuer's tokens.
func (i *issuer) manifest(playback string) string {
	return fmt.Sprintf(`
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: Token, tokenSecretRef: {name: keys}, jwks: {secretRef: {name: signers}, issuer: "https://login.example"}}
  playback: {auth: JWT, jwks: {url: %q, issuer: "https://login.example"}%s}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {publishToken: publish-me-1}
---
apiVersion: v1
kind: Secret
metadata: {name: signers}
stringData: {jwks: %q}
`, i.URL, playback, i.set())
}

// playbackSurfaces are the ways in for viewers.
var playbackSurfaces = []struct{ method, path, contentType, body string }{
	{http.MethodPost, "whep/primary", "application/sdp", "v=0\r\n"},
	{http.MethodGet, "events/primary", "", ""},
	{http.MethodGet, "streams/primary.m3u8", "", ""},
	{http.MethodGet, "streams/primary_adaptive.m3u8", "", ""},
	{http.MethodGet, "primary.flv", "", ""},
}

// refusals returns the status of each surface's answer to a token.
func (s *testServer) refusals(token string) map[string]int {
	s.t.Helper()
	codes := make(map[string]int)
	for _, surface := range playbackSurfaces {
		r, err := http.NewRequestWithContext(s.t.Context(), surface.method, s.url(surface.path, "backupStreamId", "backup", "token", token), strings.NewReader(surface.body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Content-Type", surface.contentType)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		codes[surface.path] = answer.StatusCode
		_ = answer.Body.Close()
	}
	return codes
}

// A token that never expires is not told.
func TestTheControlRoomTellsWhenTheTokenOfAnEncoderExpires(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := startServer(t, i.manifest(""), i.call)
	expires := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	s.replay("primary?token="+i.token(jwt.MapClaims{"scope": "publish", "exp": expires.Unix()}), mediatest.Programme{}, mediatest.ReplayOptions{})
	s.replay("backup?token=publish-me-1", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	want := []controlroom.Credential{{Name: "token of the primary's encoder", NotAfter: expires}}
	if diff := cmp.Diff(want, roomSource{s.Server}.State(t.Context()).Pairs[0].Credentials); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEachSurfaceChecksTheIssuersTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	stranger := newIssuer(t)
	first := (*i.keys.Load())[0]
	s := startServer(t, i.manifest(""), i.call)
	s.replay("primary?token="+i.token(jwt.MapClaims{"scope": "publish"}), mediatest.Programme{}, mediatest.ReplayOptions{})
	s.replay("backup?token="+i.token(jwt.MapClaims{"scope": "publish"}), mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)

	wrong := map[string]string{
		"missing":             "",
		"expired":             i.token(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix(), "scope": "publish"}),
		"of another stream":   i.token(jwt.MapClaims{"aud": nil, "sub": "third", "scope": "publish"}),
		"of another pair":     i.token(jwt.MapClaims{"aud": "streampair:default/monday", "scope": "publish"}),
		"of another key":      stranger.token(jwt.MapClaims{"scope": "publish"}),
		"of another issuer":   i.token(jwt.MapClaims{"iss": "https://evil.example", "scope": "publish"}),
		"of a swapped method": i.sign(jwt.SigningMethodHS256, first.kid, []byte(first.Public().(ed25519.PublicKey)), jwt.MapClaims{"scope": "publish"}),
		"unsigned":            i.sign(jwt.SigningMethodNone, first.kid, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"scope": "publish"}),
		"of an unknown kid":   i.sign(jwt.SigningMethodEdDSA, "other", first.PrivateKey, jwt.MapClaims{"scope": "publish"}),
	}
	for name, token := range wrong {
		for path, code := range s.refusals(token) {
			if code != http.StatusUnauthorized {
				t.Errorf("%s: a token %s is answered with %d", path, name, code)
			}
		}
	}
	wrong["of a viewer"] = i.token(nil)
	tape, err := mediatest.Programme{}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range wrong {
		if r, err := mediatest.Replay(t.Context(), s.publishURL("primary?token="+token), tape, mediatest.ReplayOptions{}); err == nil {
			t.Errorf("RTMP: a token %s publishes", name)
			r.Kill()
		}
		answer, body := s.do(http.MethodPost, s.url("whip/primary", "token", token), "v=0\r\n", "Content-Type", "application/sdp")
		if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "token") {
			t.Errorf("WHIP: a token %s is answered with %d: %s", name, answer.StatusCode, body)
		}
	}

	for name, token := range map[string]string{"a viewer's": i.token(nil), "a publisher's": i.token(jwt.MapClaims{"scope": "publish"})} {
		for path, code := range s.refusals(token) {
			if code == http.StatusUnauthorized || code == http.StatusForbidden {
				t.Errorf("%s: %s token is answered with %d", path, name, code)
			}
		}
	}
}

func TestTokensWithUnknownKeysCauseOneFetchAMinute(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := startServer(t, i.manifest(""), i.call)
	good := i.token(nil)
	eventually.True(t, "the keys are there", func() bool { return s.access.Play("live", "primary", "backup", good) == nil })
	began := time.Now()
	for n := range 10_000 {
		token := i.sign(jwt.SigningMethodEdDSA, fmt.Sprint("kid-", n), (*i.keys.Load())[0].PrivateKey, nil)
		answer, body := s.do(http.MethodGet, s.url("streams/primary.m3u8", "backupStreamId", "backup"), "", "Authorization", "Bearer "+token)
		if answer.StatusCode != http.StatusUnauthorized {
			t.Fatalf("token %d of an unknown key is answered with %d: %s", n, answer.StatusCode, body)
		}
	}
	if most := 2 + int32(time.Since(began)/time.Minute); i.asks.Load() > most {
		t.Errorf("the key set was asked for %d times in %v", i.asks.Load(), time.Since(began))
	}
	if err := s.access.Play("live", "primary", "backup", good); err != nil {
		t.Errorf("afterwards, a good token: %v", err)
	}
}

func TestEachSurfaceAsksToTryAgainWhileThereAreNoKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.down.Store(true)
	s := startServer(t, i.manifest(""), i.call)
	for path, code := range s.refusals(i.token(nil)) {
		if code != http.StatusServiceUnavailable {
			t.Errorf("%s: a token is answered with %d", path, code)
		}
	}
	eventually.True(t, "the status names the URL", func() bool {
		mistakes := s.status().ConfigMistakes
		return len(mistakes) == 1 && strings.Contains(mistakes[0].Message, i.URL)
	})
}

func TestAServerThatStartsNeedsNoURLOfKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := startRelayedPair(t, i.manifest(""), i.call)
	token := i.token(nil)
	plays := func(leg int) func() bool {
		return func() bool { return w.servers[leg].access.Play("live", "primary", "backup", token) == nil }
	}
	for leg := range w.servers {
		eventually.True(t, "the token is taken by the server of the "+legIDs[leg], plays(leg))
	}
	i.down.Store(true)
	w.kill(0)
	w.start(0)
	eventually.True(t, "the token is taken by the new server", plays(0))
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := startServer(t, i.manifest(", endSessionsAtExpiry: true"), i.call)
	s.replay("primary?token=publish-me-1", mediatest.Programme{}, mediatest.ReplayOptions{})
	expires := time.Now().Add(30 * time.Minute)
	short, long := i.token(jwt.MapClaims{"exp": expires.Unix()}), i.token(nil)
	watch := func(token string) *viewer {
		return s.watch(mediatest.WatchOptions{}, "primary", "backupStreamId", "backup", "token", token)
	}
	ends, renewed, stays := watch(short), watch(short), watch(long)
	for what, wrong := range map[string]struct {
		token string
		code  int
	}{
		"an expired token": {i.token(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), http.StatusUnauthorized},
		"no token":         {"", http.StatusUnauthorized},
		"a huge token":     {strings.Repeat("a", 9<<10), http.StatusRequestEntityTooLarge},
	} {
		if answer, _ := s.do(http.MethodPatch, renewed.Session().String(), wrong.token, "Content-Type", "application/jwt"); answer.StatusCode != wrong.code {
			t.Errorf("%s is answered with %d", what, answer.StatusCode)
		}
	}
	if answer, body := s.do(http.MethodPatch, renewed.Session().String(), long, "Content-Type", "application/jwt"); answer.StatusCode != http.StatusNoContent {
		t.Errorf("another token is answered with %d: %s", answer.StatusCode, body)
	}
	s.whep.EndInvalid(expires.Add(time.Minute))
	eventually.True(t, "two viewers are left", func() bool { return s.whep.ViewerCount() == 2 })
	is := func(v *viewer) int {
		answer, _ := s.do(http.MethodGet, v.Session().String(), "")
		return answer.StatusCode
	}
	if got := [3]int{is(ends), is(renewed), is(stays)}; got != [3]int{http.StatusNotFound, http.StatusNoContent, http.StatusNoContent} {
		t.Errorf("the sessions are answered with %v", got)
	}
}
