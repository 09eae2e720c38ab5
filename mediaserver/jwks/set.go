// Package jwks finds the keys with which JSON Web Tokens are signed, in JSON Web Key Sets
// (RFC 7517). It knows nothing of pairs, tokens' claims and connections.
//
// A [Set] is the text of a Secret. A [Source] is a URL, whose set is fetched every 5 minutes.
// [Directory] has the sources of a server, and shares their keys with the server's peers, so that
// a server that starts needs no URL.
package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Bounds of a key set.
const (
	// MaxBytes bounds the text of a set.
	MaxBytes = 64 << 10
	// maxKeys bounds the keys of a set: a token without kid is checked with each of them.
	maxKeys = 64
	// minRSABits is the least that RFC 7518 section 3.3 allows. maxRSABits bounds the time of a check.
	minRSABits = 2048
	maxRSABits = 8192
	// minOctBytes is the length of the hash of HS256 (RFC 7518 section 3.2).
	minOctBytes = 32
)

// Algorithms returns the algorithms that a key of a set may be for: RS256, ES256, EdDSA and HS256.
func Algorithms() []string {
	return []string{
		jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg(), jwt.SigningMethodHS256.Alg(),
	}
}

// ErrUnknownKey is an error of Key: the set has no key with the token's kid.
var ErrUnknownKey = errors.New("its kid is not in the key set")

// A Set is a JSON Web Key Set that does not change. It is safe for concurrent use. A nil Set has no
// keys yet.
type Set struct{ keys keyfunc.Keyfunc }

// Parse reads a set of at most MaxBytes. Keys of other kinds, for encryption, and too weak ones are
// left out. An error means that the text is not a set, or that no key is left.
func Parse(text []byte) (*Set, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the key set has more than %d bytes", MaxBytes)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("the key set is not JSON as RFC 7517 section 5 has it: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, and at most %d are taken", len(raw.Keys), maxKeys)
	}
	storage, usable := jwkset.NewMemoryStorage(), 0
	why := errors.New("it has no keys")
	for _, one := range raw.Keys {
		key, err := parseKey(one)
		if err != nil {
			why = err
			continue
		}
		if err := storage.KeyWrite(context.Background(), key); err != nil {
			return nil, err
		}
		usable++
	}
	if usable == 0 {
		return nil, fmt.Errorf("the key set has no key for RS256, ES256, EdDSA or HS256: %w", why)
	}
	keys, err := keyfunc.New(keyfunc.Options{Storage: storage})
	return &Set{keys}, err
}

// parseKey reads a JSON Web Key. Of a key pair it takes the public key.
func parseKey(text json.RawMessage) (jwkset.JWK, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(text, &m); err != nil {
		return jwkset.JWK{}, fmt.Errorf("a key is not a JSON Web Key: %w", err)
	}
	if m.USE != "" && m.USE != jwkset.UseSig {
		return jwkset.JWK{}, fmt.Errorf("a key is for %s, not for signatures", m.USE)
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return jwkset.JWK{}, fmt.Errorf("a key is for %s, not to verify", m.KEYOPS)
	}
	// Of certificates nothing is used: the library would fetch x5u from anywhere.
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	m.D, m.P, m.Q, m.DP, m.DQ, m.QI, m.OTH = "", "", "", "", "", "", nil
	key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key, err
	}
	return key, judge(key.Key())
}

// judge returns why a key cannot be used; nil: it can.
func judge(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("an RSA key has %d bits, and %d to %d are taken", bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return fmt.Errorf("an EC key is on the curve %s, and ES256 needs P-256", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case []byte:
		if len(key) < minOctBytes {
			return fmt.Errorf("a symmetric key has %d bytes, and HS256 needs %d", len(key), minOctBytes)
		}
	default:
		return fmt.Errorf("a key is a %T", key)
	}
	return nil
}

// Key returns what checks the token's signature, for the jwt package. An error is ErrUnknownKey, or
// says that the key is for another algorithm. It is ErrUnavailable of a nil Set. ctx is not used.
func (s *Set) Key(_ context.Context, token *jwt.Token) (any, error) {
	if s == nil {
		return nil, ErrUnavailable
	}
	key, err := s.keys.Keyfunc(token)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, ErrUnknownKey
	}
	return key, err
}
