package jwks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// A signer is a private key with its kid.
type signer struct {
	kid    string
	method jwt.SigningMethod
	key    any
}

func newSigner(tb testing.TB, kid string, method jwt.SigningMethod) signer {
	tb.Helper()
	var key any
	var err error
	switch method {
	case jwt.SigningMethodRS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jwt.SigningMethodES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwt.SigningMethodEdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key = []byte(strings.Repeat("k", 32) + kid)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return signer{kid, method, key}
}

// sign returns a token. A kid of "-" means that the header has none.
func (s signer) sign(tb testing.TB, method jwt.SigningMethod, kid string, key any) string {
	tb.Helper()
	token := jwt.NewWithClaims(method, jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))})
	if kid != "-" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func (s signer) token(tb testing.TB) string { return s.sign(tb, s.method, s.kid, s.key) }

// public returns the JSON Web Key.
func (s signer) public(tb testing.TB) json.RawMessage {
	tb.Helper()
	key := s.key
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: s.kid}, Marshal: jwkset.JWKMarshalOptions{Private: true},
	})
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(jwk.Marshal())
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func setOf(keys ...json.RawMessage) []byte {
	text, _ := json.Marshal(map[string]any{"keys": keys})
	return text
}

func check(keys interface {
	Key(context.Context, *jwt.Token) (any, error)
}, token string,
) error {
	_, err := jwt.Parse(token, func(t *jwt.Token) (any, error) { return keys.Key(context.Background(), t) },
		jwt.WithValidMethods(Algorithms()))
	return err
}

func TestEveryAlgorithmTakesAKeyOfItsType(t *testing.T) {
	methods := []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA, jwt.SigningMethodHS256}
	var signers []signer
	var public []json.RawMessage
	for i, method := range methods {
		s := newSigner(t, fmt.Sprint("key", i), method)
		signers, public = append(signers, s), append(public, s.public(t))
	}
	set, err := Parse(setOf(public...))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signers {
		if err := check(set, s.token(t)); err != nil {
			t.Errorf("%s: %v", s.method.Alg(), err)
		}
		if err := check(set, s.sign(t, s.method, "-", s.key)); err != nil {
			t.Errorf("%s without kid: %v", s.method.Alg(), err)
		}
		for _, other := range signers {
			if other.kid == s.kid {
				continue
			}
			if err := check(set, s.sign(t, s.method, other.kid, s.key)); err == nil {
				t.Errorf("a token of %s is taken with the key of %s", s.method.Alg(), other.method.Alg())
			}
		}
		stranger := newSigner(t, s.kid, s.method)
		if s.method != jwt.SigningMethodHS256 {
			if err := check(set, stranger.token(t)); err == nil {
				t.Errorf("%s: the token of another key is taken", s.method.Alg())
			}
		}
		if err := check(set, s.sign(t, s.method, "other", s.key)); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s with an unknown kid: %v", s.method.Alg(), err)
		}
	}
}

// An attacker signs with HS256, and the public key as the shared key.
func TestAPublicKeyIsNoSharedKey(t *testing.T) {
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA} {
		s := newSigner(t, "one", method)
		set, err := Parse(setOf(s.public(t)))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range [][]byte{s.public(t), []byte("{}"), {}} {
			for _, kid := range []string{"one", "-"} {
				if err := check(set, s.sign(t, jwt.SigningMethodHS256, kid, key)); err == nil {
					t.Errorf("%s: a token signed with HS256 is taken", method.Alg())
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	good := newSigner(t, "good", jwt.SigningMethodES256).public(t)
	with := func(key json.RawMessage, name string, value any) json.RawMessage {
		var members map[string]any
		if err := json.Unmarshal(key, &members); err != nil {
			t.Fatal(err)
		}
		members[name] = value
		text, _ := json.Marshal(members)
		return text
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		text  []byte
		wrong string // empty: the set can be used
	}{
		{name: "one key", text: setOf(good)},
		{name: "a key of an unknown type beside it", text: setOf(json.RawMessage(`{"kty":"XYZ","kid":"x"}`), good)},
		{name: "a key for encryption beside it", text: setOf(with(good, "use", "enc"), good)},
		{name: "a certificate to fetch", text: setOf(with(good, "x5u", "https://127.0.0.1:1/cert.pem"))},
		{name: "something else beside it", text: setOf(json.RawMessage(`7`), good)},
		{name: "nothing", text: setOf(), wrong: "has no keys"},
		{name: "only a key for encryption", text: setOf(with(good, "use", "enc")), wrong: "is for enc"},
		{name: "only a key to encrypt", text: setOf(with(good, "key_ops", []string{"encrypt"})), wrong: "not to verify"},
		{name: "a key to verify", text: setOf(with(good, "key_ops", []string{"verify"}))},
		{name: "a weak RSA key", text: setOf(signer{"weak", jwt.SigningMethodRS256, weak}.public(t)), wrong: "1024 bits"},
		{name: "another curve", text: setOf(signer{"p384", jwt.SigningMethodES384, p384}.public(t)), wrong: "P-256"},
		{name: "a short symmetric key", text: setOf(json.RawMessage(`{"kty":"oct","k":"` + base64.RawURLEncoding.EncodeToString([]byte("short")) + `"}`)), wrong: "5 bytes"},
		{name: "no JSON", text: []byte("<html>"), wrong: "not JSON"},
		{name: "too many keys", text: setOf(make([]json.RawMessage, maxKeys+1)...), wrong: "at most 64"},
		{name: "too long", text: make([]byte, MaxBytes+1), wrong: "more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("%v, want %q", err, tt.wrong)
			}
		})
	}
	if err := check((*Set)(nil), newSigner(t, "x", jwt.SigningMethodHS256).token(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a set that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(setOf(newSigner(f, "a", jwt.SigningMethodES256).public(f)))
	f.Add(setOf(newSigner(f, "b", jwt.SigningMethodHS256).public(f)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	token := newSigner(f, "a", jwt.SigningMethodEdDSA).token(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Parse(text)
		if err == nil && check(set, token) == nil {
			t.Error("a set of somebody else takes the token")
		}
	})
}
