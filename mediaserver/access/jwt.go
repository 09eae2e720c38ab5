package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/mediaserver/jwks"
)

// A purpose is what a JSON Web Token is shown for.
type purpose int

const (
	toPublish purpose = iota
	toPlay
)

// keysTimeout bounds the time that a request waits for the keys of its token.
const keysTimeout = 5 * time.Second

// publishScope is the word of the scope claim that lets a token publish.
const publishScope = "publish"

// playbackSigners returns who signs the viewers' tokens.
func (p *Pair) playbackSigners() *Signers {
	if p.PlaybackSigners != nil {
		return p.PlaybackSigners
	}
	return &Signers{ID: p.JWTKey, Keys: sharedKey(p.JWTKey)}
}

// A sharedKey is the key of HS256. The empty one is the key of nobody.
type sharedKey string

// Key implements Keys.
func (k sharedKey) Key(_ context.Context, token *jwt.Token) (any, error) {
	if k == "" || token.Method != jwt.SigningMethodHS256 {
		return nil, ErrUnauthorized
	}
	return []byte(k), nil
}

// claims are the claims that are checked. Audience is nil if there is no aud. An empty aud is for
// nobody.
type claims struct {
	jwt.RegisteredClaims
	Audience *jwt.ClaimStrings `json:"aud"`
	Scope    scope             `json:"scope"`
}

// A scope is the words of a scope claim: a text with spaces (RFC 8693 section 4.2), or an array.
type scope []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scope) UnmarshalJSON(text []byte) error {
	var words string
	if json.Unmarshal(text, &words) == nil {
		*s = strings.Fields(words)
		return nil
	}
	return json.Unmarshal(text, (*[]string)(s))
}

// isJWT reports whether a token has the form of a JSON Web Token (RFC 7515 section 3.1).
func isJWT(token string) bool { return len(token) <= maxTokenLength && strings.Count(token, ".") == 2 }

// checkJWT checks a token that is shown for a purpose.
func (r *rules) checkJWT(p *Pair, to purpose, signers *Signers, token string) error {
	if !isJWT(token) {
		return ErrUnauthorized
	}
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	var c claims
	// The list of methods keeps out "none". A key is only taken for the method of its type.
	_, err := jwt.ParseWithClaims(token, &c,
		func(t *jwt.Token) (any, error) {
			if _, critical := t.Header["crit"]; critical {
				return nil, errors.New("its crit header asks for extensions that this server does not know")
			}
			return signers.Keys.Key(ctx, t)
		},
		jwt.WithValidMethods(jwks.Algorithms()),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(clockLeeway))
	switch {
	case errors.Is(err, jwks.ErrUnavailable):
		return jwks.ErrUnavailable
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if reason := r.refuseClaims(p, to, signers, c); reason != "" {
		return fmt.Errorf("%w: %s", ErrUnauthorized, reason)
	}
	return nil
}

// refuseClaims returns why a token with these claims is not for the pair; empty: it is.
func (r *rules) refuseClaims(p *Pair, to purpose, signers *Signers, c claims) string {
	addressed := c.Audience != nil
	named := addressed && slices.Contains(*c.Audience, p.Audience())
	switch {
	case to == toPublish && !slices.Contains(c.Scope, publishScope):
		return "it is a viewer's token: a token that publishes has publish in scope"
	case signers.Issuer != "" && c.Issuer != signers.Issuer:
		return "its iss is somebody else"
	case addressed && !named && slices.ContainsFunc(signers.Audiences, func(a string) bool { return slices.Contains(*c.Audience, a) }):
		return "" // sub is a person
	case addressed && !named:
		return "its aud is for something else; it must be streampair:NAMESPACE/NAME of the StreamPair"
	case signers.Shared && !addressed:
		return "it has no aud; it must be streampair:NAMESPACE/NAME of the StreamPair"
	case c.Subject == "" && !addressed:
		return "it has neither aud nor sub"
	case c.Subject != "" && !slices.Contains(p.subjects(), c.Subject):
		return "its sub is for something else"
	case !addressed && r.acceptingPairs[signedSubject{to, signers.ID, c.Subject}] > 1:
		return "its sub is for more than one StreamPair of this server; add the aud streampair:NAMESPACE/NAME"
	}
	return ""
}

// expiry returns when a token expires; zero: it does not say. The signature is not checked: who relies on
// the time has checked the token before.
func expiry(token string) time.Time {
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil || c.ExpiresAt == nil {
		return time.Time{}
	}
	return c.ExpiresAt.Time
}
