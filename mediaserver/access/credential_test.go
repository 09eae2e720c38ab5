package access

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/stream"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAReplacedCredentialEndsItsViewers(t *testing.T) {
	start := time.Unix(1e9, 0)
	minute := time.Minute
	signed := func(key string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Subject: "demo", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}).SignedString([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	const otherKey = "fedcba9876543210fedcba9876543210"
	for _, kind := range []struct {
		name               string
		pair               func(value string, grace *time.Duration) []Pair
		old, next          string // credentials
		oldToken, newToken string
	}{
		{"play token", func(value string, grace *time.Duration) []Pair {
			return []Pair{pair("demo", "primary", "backup", func(p *Pair) { playToken(value)(p); p.PlaybackGrace = grace })}
		}, "old", "new", "old", "new"},
		{"key of JSON Web Tokens", func(value string, grace *time.Duration) []Pair {
			return []Pair{pair("demo", "primary", "backup", func(p *Pair) {
				p.Playback, p.JWTKey, p.PlaybackGrace = v1alpha1.PlaybackJWT, value, grace
			})}
		}, testKey, otherKey, signed(testKey), signed(otherKey)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			p := New(kind.pair(kind.old, &minute))
			admitted, _ := p.Validity("live", "backup", kind.oldToken)
			if admitted == nil || isClosed(admitted) {
				t.Fatal("a viewer of the credential in force has no channel, or a closed one")
			}
			p.replace(kind.pair(kind.next, &minute), start)
			late, _ := p.Validity("live", "primary", kind.oldToken) // as if the viewer was admitted a moment before
			newcomer, _ := p.Validity("live", "primary", kind.newToken)
			p.Expire(start.Add(minute - 1))
			if isClosed(admitted) {
				t.Error("ended within the grace")
			}
			p.Expire(start.Add(minute))
			if !isClosed(admitted) || !isClosed(late) || isClosed(newcomer) {
				t.Errorf("after the grace: ended %t, %t, and with the new credential %t", isClosed(admitted), isClosed(late), isClosed(newcomer))
			}

			unset := New(kind.pair(kind.old, nil))
			stays, _ := unset.Validity("live", "primary", kind.oldToken)
			unset.replace(kind.pair(kind.next, nil), start)
			unset.Expire(start.Add(1000 * time.Hour))
			if isClosed(stays) {
				t.Error("without a grace viewers stay")
			}
			unset.replace(kind.pair(kind.next, &minute), start.Add(1000*time.Hour))
			unset.Expire(start.Add(1000 * time.Hour))
			if !isClosed(stays) {
				t.Error("a grace that is set later holds for those who are in")
			}

			back := New(kind.pair(kind.old, &minute))
			returned, _ := back.Validity("live", "primary", kind.oldToken)
			back.replace(kind.pair(kind.next, &minute), start)
			back.replace(kind.pair(kind.old, &minute), start)
			back.Expire(start.Add(time.Hour))
			if isClosed(returned) {
				t.Error("ended although the credential is in force again")
			}
		})
	}
	open := New([]Pair{pair("demo", "primary", "backup", nil)})
	if revoked, until := open.Validity("live", "primary", ""); revoked != nil || !until.IsZero() {
		t.Error("who needed no token came by none that can be replaced")
	}
}

func TestReplacedPublishTokensAreRemembered(t *testing.T) {
	start := time.Unix(1e9, 0)
	p := New([]Pair{pair("demo", "primary", "backup", publishToken("first"))})
	if got := p.ReplacedPublishTokens("demo"); len(got) != 0 {
		t.Errorf("%d tokens are replaced, want none", len(got))
	}
	p.replace([]Pair{pair("demo", "primary", "backup", publishToken("second"))}, start)
	p.replace([]Pair{pair("demo", "primary", "backup", publishToken("second"))}, start.Add(time.Hour))
	got := p.ReplacedPublishTokens("demo")
	if len(got) != 1 || got[0].Hash != sha256.Sum256([]byte("first")) || !got[0].At.Equal(start) {
		t.Errorf("replaced: %+v", got)
	}
	for i := range 3 * maxReplaced {
		p.replace([]Pair{pair("demo", "primary", "backup", publishToken(time.Duration(i).String()))}, start)
	}
	if n := len(p.ReplacedPublishTokens("demo")); n > maxReplaced {
		t.Errorf("%d replaced tokens are kept", n)
	}
	p.replace([]Pair{pair("demo", "primary", "backup", nil)}, start)
	if n := len(p.ReplacedPublishTokens("demo")); n != 0 {
		t.Errorf("%d tokens are replaced of a pair that asks for none", n)
	}
}

func TestCredentialOf(t *testing.T) {
	expires := time.Unix(2e9, 0)
	sign := func(c jwt.RegisteredClaims) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, tt := range map[string]struct {
		token   string
		expires time.Time
	}{
		"a fixed token":                    {"publish-me", time.Time{}},
		"a fixed token with two dots":      {"a.b.c", time.Time{}},
		"a JSON Web Token":                 {sign(jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(expires)}), expires},
		"a JSON Web Token without exp":     {sign(jwt.RegisteredClaims{}), time.Time{}},
		"a JSON Web Token in milliseconds": {sign(jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(time.Unix(2e12, 0))}), time.Time{}},
		"a JSON Web Token that is long":    {sign(jwt.RegisteredClaims{ID: strings.Repeat("x", maxTokenLength), ExpiresAt: jwt.NewNumericDate(expires)}), time.Time{}},
	} {
		if got := CredentialOf(tt.token); got.Hash != sha256.Sum256([]byte(tt.token)) || !got.Expires.Equal(tt.expires) {
			t.Errorf("%s: %+v, want it to expire at %v", name, got, tt.expires)
		}
		if _, err := json.Marshal(CredentialOf(tt.token).Expires); err != nil {
			t.Errorf("%s: the status cannot have the time: %v", name, err)
		}
	}
	if got := CredentialOf(""); got != (stream.Credential{}) {
		t.Errorf("no token: %+v", got)
	}
}
