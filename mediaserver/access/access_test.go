package access

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/stream"
)

const testKey = "0123456789abcdef0123456789abcdef"

// pair returns an open pair of the app live. change can change the pair.
func pair(name, primary, backup string, change func(*Pair)) Pair {
	p := Pair{
		Name: name, App: "live", PrimaryID: primary, BackupID: backup,
		Publish: v1alpha1.PublishNone, Playback: v1alpha1.PlaybackNone,
	}
	if change != nil {
		change(&p)
	}
	return p
}

func publishToken(token string) func(*Pair) {
	return func(p *Pair) { p.Publish, p.PublishToken = v1alpha1.PublishToken, token }
}

func playToken(token string) func(*Pair) {
	return func(p *Pair) { p.Playback, p.PlayToken = v1alpha1.PlaybackToken, token }
}

func TestPublish(t *testing.T) {
	demo := pair("demo", "primary", "backup", publishToken("secret"))
	tests := []struct {
		name          string
		pairs         []Pair
		app, id       string
		token         string
		authenticated bool
		err           error
	}{
		{name: "no manifest: everybody, unauthenticated", app: "live", id: "anything"},
		{name: "no manifest: a token proves nothing", app: "live", id: "anything", token: "x"},
		{name: "auth None: everybody, unauthenticated", pairs: []Pair{pair("demo", "primary", "backup", nil)}, app: "live", id: "primary"},
		{name: "all pairs open: undeclared streams too", pairs: []Pair{pair("demo", "primary", "backup", nil)}, app: "live", id: "other"},
		{name: "right token, primary", pairs: []Pair{demo}, app: "live", id: "primary", token: "secret", authenticated: true},
		{name: "right token, backup", pairs: []Pair{demo}, app: "live", id: "backup", token: "secret", authenticated: true},
		{name: "no token", pairs: []Pair{demo}, app: "live", id: "primary", err: ErrUnauthorized},
		{name: "wrong token", pairs: []Pair{demo}, app: "live", id: "primary", token: "Secret", err: ErrUnauthorized},
		{name: "a prefix of the token", pairs: []Pair{demo}, app: "live", id: "primary", token: "secre", err: ErrUnauthorized},
		{name: "a huge token", pairs: []Pair{demo}, app: "live", id: "primary", token: strings.Repeat("s", maxTokenLength+1), err: ErrUnauthorized},
		{name: "undeclared stream beside a pair with a token", pairs: []Pair{demo}, app: "live", id: "other", token: "secret", err: stream.ErrUndeclared},
		{name: "another app", pairs: []Pair{demo}, app: "dead", id: "primary", token: "secret", err: stream.ErrUndeclared},
		{name: "undeclared stream when only playback asks for a token", pairs: []Pair{pair("demo", "primary", "backup", playToken("watch"))}, app: "live", id: "other", err: stream.ErrUndeclared},
		{name: "an empty token in the rules lets nobody in", pairs: []Pair{pair("demo", "primary", "backup", publishToken(""))}, app: "live", id: "primary", err: ErrUnauthorized},
		{name: "a shared stream opens with the other pair's token", pairs: []Pair{demo, pair("late", "primary", "third", publishToken("late"))}, app: "live", id: "primary", token: "late", authenticated: true},
		{name: "a shared stream is closed if one of its pairs closes it", pairs: []Pair{pair("late", "primary", "third", nil), demo}, app: "live", id: "primary", err: ErrUnauthorized},
		{name: "a pair's token does not open another pair", pairs: []Pair{demo, pair("late", "a", "b", publishToken("late"))}, app: "live", id: "a", token: "secret", err: ErrUnauthorized},
		{name: "a paused pair takes nobody", pairs: []Pair{pair("demo", "primary", "backup", func(p *Pair) { publishToken("secret")(p); p.Paused = true })}, app: "live", id: "primary", token: "secret", err: stream.ErrUndeclared},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			authenticated, err := New(tt.pairs).Publish(tt.app, tt.id, tt.token)
			if authenticated != tt.authenticated || !errors.Is(err, tt.err) {
				t.Errorf("Publish(%q, %q, %q) = %v, %v; want %v, %v",
					tt.app, tt.id, tt.token, authenticated, err, tt.authenticated, tt.err)
			}
		})
	}
}

// A publisher with a token is told the nearest id that the token opens. A stranger is told no id.
func TestAMisspeltStreamIsToldTheNearest(t *testing.T) {
	pairs := []Pair{
		pair("demo", "primary", "backup", publishToken("secret")), pair("other", "primero", "segundo", publishToken("other")),
		pair("paused", "primari", "x", func(p *Pair) { publishToken("paused")(p); p.Paused = true }),
		pair("closed", "a", "b", publishToken("")),
	}
	const plain = "no StreamPair names this stream; use a stream id that the StreamPair declares"
	for _, tt := range []struct{ name, app, id, token, want string }{
		{"the token of a pair", "live", "primry", "secret", "publish live/primry: " + plain + "; the nearest that your token opens is live/primary"},
		{"another app", "life", "backup", "secret", "publish life/backup: " + plain + "; the nearest that your token opens is live/backup"},
		{"the token of another pair", "live", "primry", "other", "publish live/primry: " + plain + "; the nearest that your token opens is live/primero"},
		{"the token of a paused pair", "live", "primry", "paused", "publish live/primry: " + plain},
		{"a wrong token", "live", "primry", "wrong", "publish live/primry: " + plain},
		{"no token", "live", "primry", "", "publish live/primry: " + plain},
		{"a huge token", "live", "primry", strings.Repeat("s", maxTokenLength+1), "publish live/primry: " + plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDeclaredOnly(pairs).Publish(tt.app, tt.id, tt.token)
			if !errors.Is(err, stream.ErrUndeclared) || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func TestPlay(t *testing.T) {
	demo := pair("demo", "primary", "backup", playToken("watch"))
	open := pair("open", "a", "b", nil)
	tests := []struct {
		name       string
		pairs      []Pair
		id, backup string
		token      string
		err        error
	}{
		{name: "no manifest: everybody", id: "anything", backup: "other"},
		{name: "auth None: everybody", pairs: []Pair{open}, id: "a", backup: "b"},
		{name: "right token, pair", pairs: []Pair{demo}, id: "primary", backup: "backup", token: "watch"},
		{name: "right token, legs turned round", pairs: []Pair{demo}, id: "backup", backup: "primary", token: "watch"},
		{name: "right token, one stream", pairs: []Pair{demo}, id: "backup", token: "watch"},
		{name: "no token", pairs: []Pair{demo}, id: "primary", backup: "backup", err: ErrUnauthorized},
		{name: "the publish token is not the play token", pairs: []Pair{pair("demo", "primary", "backup", func(p *Pair) { playToken("watch")(p); publishToken("secret")(p) })}, id: "primary", token: "secret", err: ErrUnauthorized},
		{name: "an open stream with a closed backup", pairs: []Pair{open, demo}, id: "a", backup: "backup", err: ErrUnauthorized},
		{name: "a closed stream with an open backup", pairs: []Pair{open, demo}, id: "primary", backup: "b", err: ErrUnauthorized},
		{name: "an open stream with an undeclared backup", pairs: []Pair{open, demo}, id: "a", backup: "zzz", err: stream.ErrUndeclared},
		{name: "undeclared streams while publishing needs a token", pairs: []Pair{pair("demo", "primary", "backup", publishToken("secret"))}, id: "zzz", err: stream.ErrUndeclared},
		{name: "a paused pair plays to nobody", pairs: []Pair{pair("demo", "primary", "backup", func(p *Pair) { p.Paused = true })}, id: "primary", err: stream.ErrUndeclared},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := New(tt.pairs).Play("live", tt.id, tt.backup, tt.token); !errors.Is(err, tt.err) {
				t.Errorf("Play(%q, %q, %q) = %v; want %v", tt.id, tt.backup, tt.token, err, tt.err)
			}
		})
	}
}

func TestAMediaPodKnowsDeclaredStreamsOnly(t *testing.T) {
	declared := []Pair{pair("demo", "primary", "backup", nil), pair("open", "a", "b", nil)}
	tests := []struct {
		name       string
		pairs      []Pair
		id, backup string
		err        error
	}{
		{name: "a pair", pairs: declared, id: "primary", backup: "backup"},
		{name: "a single stream of a pair", pairs: declared, id: "backup"},
		{name: "streams of two pairs", pairs: declared, id: "primary", backup: "b"},
		{name: "an undeclared stream", pairs: declared, id: "third", err: stream.ErrUndeclared},
		{name: "a pair with an undeclared backup", pairs: declared, id: "primary", backup: "third", err: stream.ErrUndeclared},
		{name: "no pair is declared", id: "primary", err: stream.ErrUndeclared},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			replaced := NewDeclaredOnly(nil)
			replaced.Replace(tt.pairs)
			for when, policy := range map[string]*Policy{"from the start": NewDeclaredOnly(tt.pairs), "after Replace": replaced} {
				if err := policy.Play("live", tt.id, tt.backup, ""); !errors.Is(err, tt.err) {
					t.Errorf("%s: Play = %v; want %v", when, err, tt.err)
				}
				if tt.backup != "" {
					continue
				}
				if _, err := policy.Publish("live", tt.id, ""); !errors.Is(err, tt.err) {
					t.Errorf("%s: Publish = %v; want %v", when, err, tt.err)
				}
			}
		})
	}
}

func TestPlayJWT(t *testing.T) {
	policy := New([]Pair{pair("demo", "primary", "backup", func(p *Pair) {
		p.Playback, p.JWTKey = v1alpha1.PlaybackJWT, testKey
	})})
	soon := jwt.NewNumericDate(time.Now().Add(time.Hour))
	sign := func(method jwt.SigningMethod, key any, claims jwt.Claims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	hs256 := func(claims jwt.RegisteredClaims) string {
		return sign(jwt.SigningMethodHS256, []byte(testKey), claims)
	}
	tests := []struct {
		name  string
		token string
		err   error
	}{
		{"sub is the pair", hs256(jwt.RegisteredClaims{Subject: "demo", ExpiresAt: soon}), nil},
		{"sub is the primary's stream id", hs256(jwt.RegisteredClaims{Subject: "primary", ExpiresAt: soon}), nil},
		{"sub is the backup's stream id", hs256(jwt.RegisteredClaims{Subject: "backup", ExpiresAt: soon}), nil},
		{"sub is another stream", hs256(jwt.RegisteredClaims{Subject: "other", ExpiresAt: soon}), ErrUnauthorized},
		{"no sub", hs256(jwt.RegisteredClaims{ExpiresAt: soon}), ErrUnauthorized},
		{"no exp", hs256(jwt.RegisteredClaims{Subject: "demo"}), ErrUnauthorized},
		{"expired", hs256(jwt.RegisteredClaims{Subject: "demo", ExpiresAt: jwt.NewNumericDate(time.Now().Add(-time.Minute))}), ErrUnauthorized},
		{"not yet valid", hs256(jwt.RegisteredClaims{Subject: "demo", ExpiresAt: soon, NotBefore: soon}), ErrUnauthorized},
		{"another key", sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), jwt.RegisteredClaims{Subject: "demo", ExpiresAt: soon}), ErrUnauthorized},
		{"another method", sign(jwt.SigningMethodHS512, []byte(testKey), jwt.RegisteredClaims{Subject: "demo", ExpiresAt: soon}), ErrUnauthorized},
		{"unsigned", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.RegisteredClaims{Subject: "demo", ExpiresAt: soon}), ErrUnauthorized},
		{"the key itself", testKey, ErrUnauthorized},
		{"none", "", ErrUnauthorized},
		{"huge", strings.Repeat("a", maxTokenLength+1), ErrUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := policy.Play("live", "primary", "backup", tt.token); !errors.Is(err, tt.err) {
				t.Errorf("Play = %v; want %v", err, tt.err)
			}
		})
	}
}

func TestAJWTNamesItsPair(t *testing.T) {
	jwtPair := func(name, app, primary, backup, key string) Pair {
		return pair(name, primary, backup, func(p *Pair) {
			p.App, p.Namespace, p.Playback, p.JWTKey = app, "studio", v1alpha1.PlaybackJWT, key
		})
	}
	demo := jwtPair("demo", "live", "primary", "backup", testKey)
	twin := jwtPair("twin", "sport", "primary", "backup", testKey) // the same ids and key, another app
	apart := jwtPair("apart", "sport", "primary", "backup", strings.Repeat("y", 32))
	named := jwtPair("named", "sport", "demo", "second", testKey) // one of its stream ids is demo's name
	type claims map[string]any
	sign := func(header map[string]any, c claims) string {
		c["exp"] = time.Now().Add(time.Hour).Unix()
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(c))
		for name, value := range header {
			token.Header[name] = value
		}
		signed, err := token.SignedString([]byte(testKey))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	const aud = "streampair:studio/demo"
	tests := []struct {
		name   string
		pairs  []Pair
		header map[string]any
		claims claims
		says   string // empty: the token opens demo
	}{
		{name: "aud alone", pairs: []Pair{demo}, claims: claims{"aud": aud}},
		{name: "aud among others", pairs: []Pair{demo}, claims: claims{"aud": []string{"https://cdn.example", aud}}},
		{name: "aud and sub", pairs: []Pair{demo}, claims: claims{"aud": aud, "sub": "backup"}},
		{name: "aud, and a sub of something else", pairs: []Pair{demo}, claims: claims{"aud": aud, "sub": "other"}, says: "its sub is for something else"},
		{name: "aud of another pair", pairs: []Pair{demo}, claims: claims{"aud": "streampair:studio/other", "sub": "demo"}, says: "its aud is for something else"},
		{name: "aud of another namespace", pairs: []Pair{demo}, claims: claims{"aud": "streampair:default/demo", "sub": "demo"}, says: "its aud is for something else"},
		{name: "aud that only begins alike", pairs: []Pair{demo}, claims: claims{"aud": aud + "-2"}, says: "its aud is for something else"},
		{name: "aud without the prefix", pairs: []Pair{demo}, claims: claims{"aud": "studio/demo", "sub": "demo"}, says: "streampair:NAMESPACE/NAME"},
		{name: "an empty aud", pairs: []Pair{demo}, claims: claims{"aud": []string{}, "sub": "demo"}, says: "its aud is for something else"},
		{name: "an aud that is no string", pairs: []Pair{demo}, claims: claims{"aud": 7, "sub": "demo"}, says: "token"},
		{name: "neither", pairs: []Pair{demo}, claims: claims{}, says: "it has neither aud nor sub"},
		{name: "a stream id that two pairs would take", pairs: []Pair{demo, twin}, claims: claims{"sub": "primary"}, says: "more than one StreamPair"},
		{name: "the pair's name, beside another pair with its stream ids", pairs: []Pair{demo, twin}, claims: claims{"sub": "demo"}},
		{name: "aud, and a stream id that two pairs would take", pairs: []Pair{demo, twin}, claims: claims{"sub": "primary", "aud": aud}},
		{name: "a stream id that a pair with another key has too", pairs: []Pair{demo, apart}, claims: claims{"sub": "primary"}},
		{name: "the pair's name, which is another pair's stream id", pairs: []Pair{demo, named}, claims: claims{"sub": "demo"}, says: "more than one StreamPair"},
		{name: "a crit header", pairs: []Pair{demo}, header: map[string]any{"crit": []string{"b64"}, "b64": true}, claims: claims{"sub": "demo"}, says: "crit"},
		{name: "an empty crit header", pairs: []Pair{demo}, header: map[string]any{"crit": []string{}}, claims: claims{"sub": "demo"}, says: "crit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := New(tt.pairs).Play("live", "primary", "backup", sign(tt.header, tt.claims))
			if tt.says == "" && err != nil {
				t.Errorf("Play = %v", err)
			}
			if tt.says != "" && (!errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("Play = %v; want a refusal that says %q", err, tt.says)
			}
		})
	}
	if got := (&Pair{Name: "demo"}).Audience(); got != "streampair:default/demo" {
		t.Errorf("without a namespace: %s", got)
	}
}

func TestAReplacedTokenHoldsForTheNextPublisher(t *testing.T) {
	policy := New([]Pair{pair("demo", "primary", "backup", publishToken("old"))})
	policy.Replace([]Pair{pair("demo", "primary", "backup", publishToken("new"))})
	if _, err := policy.Publish("live", "primary", "old"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("with the old token: %v; want %v", err, ErrUnauthorized)
	}
	if authenticated, err := policy.Publish("live", "primary", "new"); err != nil || !authenticated {
		t.Errorf("with the new token: %v, %v; want true, nil", authenticated, err)
	}
}

func TestReplaceWhileAsked(t *testing.T) {
	const generations = 200
	replacement := func(n int) []Pair {
		return []Pair{pair("demo", "primary", "backup", publishToken(fmt.Sprint(n)))}
	}
	policy := New(replacement(0))
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range generations {
			policy.Replace(replacement(n))
		}
	})
	for range 3 {
		wg.Go(func() {
			for n := range generations {
				authenticated, err := policy.Publish("live", "primary", fmt.Sprint(n))
				if authenticated != (err == nil) || err != nil && !errors.Is(err, ErrUnauthorized) {
					t.Errorf("token %d: authenticated is %v, and the error is %v", n, authenticated, err)
				}
				if err := policy.Play("live", "primary", "backup", ""); err != nil {
					t.Errorf("an open playback is refused: %v", err)
				}
				if _, err := policy.Publish("live", "primary", fmt.Sprint(n-1)); authenticated && err == nil {
					t.Errorf("token %d opens the stream after token %d has", n-1, n)
				}
			}
		})
	}
	wg.Wait()
	if _, err := policy.Publish("live", "primary", fmt.Sprint(generations-1)); err != nil {
		t.Errorf("the token of the last replacement: %v", err)
	}
}
