package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/jwks"
)

// An es256 is a signer, and the Keys that have its key.
type es256 struct{ *ecdsa.PrivateKey }

func newES256(t *testing.T) es256 {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return es256{key}
}

func (k es256) Key(context.Context, *jwt.Token) (any, error) { return k.Public(), nil }

func (k es256) sign(t *testing.T, c jwt.MapClaims) string {
	t.Helper()
	if _, set := c["exp"]; !set {
		c["exp"] = time.Now().Add(time.Hour).Unix()
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(k.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

type unavailable struct{}

func (unavailable) Key(context.Context, *jwt.Token) (any, error) { return nil, jwks.ErrUnavailable }

func TestTokensOfSigners(t *testing.T) {
	key := newES256(t)
	signers := &Signers{ID: "one", Keys: key, Issuer: "https://login.example", Audiences: []string{"https://live.example"}}
	demo := pair("demo", "primary", "backup", func(p *Pair) {
		p.Publish, p.PublishToken, p.PublishSigners = v1alpha1.PublishToken, "secret-token", signers
		p.Playback, p.JWTKey, p.PlaybackSigners = v1alpha1.PlaybackJWT, testKey, signers
	})
	const iss = "https://login.example"
	hs256, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": iss, "sub": "demo", "scope": "publish", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	type c = jwt.MapClaims
	const yes = "" // no refusal
	for _, tt := range []struct {
		name          string
		token         string
		play, publish string // what the refusal says
	}{
		{"a viewer's", key.sign(t, c{"iss": iss, "sub": "demo"}), yes, "it is a viewer's token"},
		{"a publisher's", key.sign(t, c{"iss": iss, "sub": "demo", "scope": "publish"}), yes, yes},
		{"a publisher's, among other scopes", key.sign(t, c{"iss": iss, "sub": "demo", "scope": "email publish"}), yes, yes},
		{"a publisher's, as an array", key.sign(t, c{"iss": iss, "sub": "demo", "scope": []string{"publish"}}), yes, yes},
		{"a scope that only begins alike", key.sign(t, c{"iss": iss, "sub": "demo", "scope": "publisher"}), yes, "it is a viewer's token"},
		{"a scope of another type", key.sign(t, c{"iss": iss, "sub": "demo", "scope": 7}), "token", "token"},
		{"of a person, for the audience", key.sign(t, c{"iss": iss, "sub": "alice", "aud": "https://live.example"}), yes, "it is a viewer's token"},
		{"of a person, for another audience", key.sign(t, c{"iss": iss, "sub": "alice", "aud": "https://other.example"}), "its aud", "it is a viewer's token"},
		{"for the pair", key.sign(t, c{"iss": iss, "aud": "streampair:default/demo", "scope": "publish"}), yes, yes},
		{"of another stream", key.sign(t, c{"iss": iss, "sub": "other", "scope": "publish"}), "its sub", "its sub"},
		{"of another issuer", key.sign(t, c{"iss": "https://evil.example", "sub": "demo", "scope": "publish"}), "its iss", "its iss"},
		{"without an issuer", key.sign(t, c{"sub": "demo", "scope": "publish"}), "its iss", "its iss"},
		{"of another key", newES256(t).sign(t, c{"iss": iss, "sub": "demo", "scope": "publish"}), "signature", "signature"},
		{"expired", key.sign(t, c{"iss": iss, "sub": "demo", "scope": "publish", "exp": time.Now().Add(-time.Minute).Unix()}), "expired", "expired"},
		{"without exp", key.sign(t, c{"iss": iss, "sub": "demo", "scope": "publish", "exp": nil}), "exp", "exp"},
		{"of jwtKey, which the key set replaces", hs256, "token", "token"},
		{"the publish token", "secret-token", "token", yes},
		{"none", "", "token", "token"},
		{"three parts of nothing", "..", "token", "token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policy := New([]Pair{demo})
			for _, id := range []string{"primary", "backup"} {
				judge(t, "play "+id, policy.Play("live", id, "", tt.token), tt.play)
				authenticated, err := policy.Publish("live", id, tt.token)
				judge(t, "publish "+id, err, tt.publish)
				if authenticated != (err == nil) {
					t.Errorf("authenticated is %v", authenticated)
				}
			}
		})
	}
}

func judge(t *testing.T, what string, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case says != "" && (!errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), says)):
		t.Errorf("%s: %v, want a refusal that says %q", what, err, says)
	}
}

func TestASubThatTwoPairsWouldTake(t *testing.T) {
	key := newES256(t)
	with := func(id string) func(*Pair) {
		return func(p *Pair) {
			p.Publish, p.PublishSigners = v1alpha1.PublishToken, &Signers{ID: id, Keys: key}
			p.Playback, p.PlaybackSigners = v1alpha1.PlaybackJWT, &Signers{ID: id, Keys: key}
		}
	}
	token := key.sign(t, jwt.MapClaims{"sub": "primary", "scope": "publish"})
	same := New([]Pair{pair("demo", "primary", "backup", with("one")), pair("twin", "primary", "third", with("one"))})
	judge(t, "play", same.Play("live", "primary", "", token), "more than one StreamPair")
	_, err := same.Publish("live", "primary", token)
	judge(t, "publish", err, "more than one StreamPair")
	apart := New([]Pair{pair("demo", "primary", "backup", with("one")), pair("twin", "primary", "third", with("two"))})
	judge(t, "play with other signers", apart.Play("live", "primary", "", token), "")
}

func TestSharedSignersNameThePair(t *testing.T) {
	key := newES256(t)
	policy := New([]Pair{pair("demo", "primary", "backup", func(p *Pair) {
		p.Publish, p.PublishSigners = v1alpha1.PublishToken, &Signers{Keys: key, Shared: true}
		p.Playback, p.PlaybackSigners = v1alpha1.PlaybackJWT, &Signers{Keys: key, Shared: true}
	})})
	for _, sub := range []string{"demo", "primary"} {
		token := key.sign(t, jwt.MapClaims{"sub": sub, "scope": "publish"})
		judge(t, "play", policy.Play("live", "primary", "", token), "it has no aud")
		_, err := policy.Publish("live", "primary", token)
		judge(t, "publish", err, "it has no aud")
	}
	judge(t, "play", policy.Play("live", "primary", "", key.sign(t, jwt.MapClaims{"aud": "streampair:default/demo"})), "")
}

func TestKeysThatAreNotThereYet(t *testing.T) {
	policy := New([]Pair{pair("demo", "primary", "backup", func(p *Pair) {
		p.Publish, p.PublishToken, p.PublishSigners = v1alpha1.PublishToken, "secret-token", &Signers{Keys: unavailable{}}
		p.Playback, p.PlaybackSigners = v1alpha1.PlaybackJWT, &Signers{Keys: unavailable{}}
	})})
	token := newES256(t).sign(t, jwt.MapClaims{"sub": "demo", "scope": "publish"})
	if err := policy.Play("live", "primary", "backup", token); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("play: %v", err)
	}
	if _, err := policy.Publish("live", "primary", token); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("publish: %v", err)
	}
	if err := policy.Play("live", "primary", "backup", "no JWT"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("play without a JWT: %v", err)
	}
	if _, err := policy.Publish("live", "primary", "secret-token"); err != nil {
		t.Errorf("publish with the publish token: %v", err)
	}
}

func TestSessionsEndWhenTheirTokenExpires(t *testing.T) {
	key, exp := newES256(t), time.Now().Add(time.Hour).Truncate(time.Second)
	token := key.sign(t, jwt.MapClaims{"sub": "demo", "exp": exp.Unix()})
	for _, ends := range []bool{false, true} {
		policy := New([]Pair{pair("demo", "primary", "backup", func(p *Pair) {
			p.Playback, p.PlaybackSigners, p.EndAtExpiry = v1alpha1.PlaybackJWT, &Signers{Keys: key}, ends
		})})
		_, until := policy.Validity("live", "backup", token)
		if ends && !until.Equal(exp.Add(clockLeeway)) || !ends && !until.IsZero() {
			t.Errorf("endSessionsAtExpiry %v: until %v, and the token expires at %v", ends, until, exp)
		}
	}
}
