package access

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A use is the purpose of a credential.
type use int

const (
	ofPublishToken use = iota
	ofPlayToken
	ofJWTKey
)

// maxReplaced bounds the replaced credentials that are remembered for one pair and use. Only people
// who may change the pair's Secrets can cause them.
const maxReplaced = 64

// A credential is a token of a pair, or the key of its viewers' tokens. It exists from when it
// comes into force until nobody can be admitted by it any more.
type credential struct {
	pair  Pair // as it was when the credential was last in force
	use   use
	value string
	// replaced is when another credential replaced this one; zero: it is in force.
	replaced time.Time
	// ended is closed when the viewers that the credential admitted must go.
	ended chan struct{}
}

// CredentialOf returns the credential of a publisher who shows token. It is zero without a token.
func CredentialOf(token string) stream.Credential {
	if token == "" {
		return stream.Credential{}
	}
	c := stream.Credential{Hash: sha256.Sum256([]byte(token))}
	if isJWT(token) {
		if at := expiry(token); at.Year() > 0 && at.Year() <= 9999 { // JSON has no other times
			c.Expires = at
		}
	}
	return c
}

// credentials returns the pair's credentials that are in force.
func (p *Pair) credentials() map[use]string {
	values := make(map[use]string)
	if p.Publish == v1alpha1.PublishToken && p.PublishToken != "" {
		values[ofPublishToken] = p.PublishToken
	}
	switch {
	case p.Playback == v1alpha1.PlaybackToken && p.PlayToken != "":
		values[ofPlayToken] = p.PlayToken
	case p.Playback == v1alpha1.PlaybackJWT && p.PlaybackSigners == nil && p.JWTKey != "":
		values[ofJWTKey] = p.JWTKey
	}
	return values
}

// follow returns the credentials, updated for the pairs that are in force from now on. A credential
// is replaced by another credential of the same pair and use. If its pair is gone, or asks for no
// such credential any more, it is forgotten. Nothing has replaced it then, so nobody has to come
// back with another one.
func follow(known []*credential, pairs []Pair, now time.Time) []*credential {
	var next []*credential
	for _, pair := range pairs {
		for of, value := range pair.credentials() {
			var replaced []*credential
			inForce := &credential{value: value, use: of, ended: make(chan struct{})}
			for _, c := range known {
				switch {
				case c.pair.Name != pair.Name || c.use != of:
				case c.value == value:
					inForce = c
				default:
					if c.replaced.IsZero() {
						c.replaced = now
					}
					replaced = append(replaced, c)
				}
			}
			inForce.pair, inForce.replaced = pair, time.Time{}
			next = append(next, replaced[max(0, len(replaced)-maxReplaced):]...)
			next = append(next, inForce)
		}
	}
	return next
}

// Validity returns when the session of a viewer with this token must end. revoked is closed when
// the pair's play token, or the key of its JSON Web Tokens, was replaced longer ago than the pair
// allows; nil: never. until is when the token opens no more sessions because it has expired, if the
// pair ends sessions then; zero: never.
func (p *Policy) Validity(app, streamID, token string) (revoked <-chan struct{}, until time.Time) {
	r := p.rules.Load()
	for _, pair := range r.streams[streamKey{app, streamID}] {
		if pair.EndAtExpiry && pair.Playback == v1alpha1.PlaybackJWT && isJWT(token) {
			if until = expiry(token); !until.IsZero() {
				until = until.Add(clockLeeway)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// The newest credential comes first: a token that two keys admit is good while either key is.
	for _, c := range slices.Backward(p.credentials) {
		if c.use == ofPublishToken || c.pair.App != app || streamID != c.pair.PrimaryID && streamID != c.pair.BackupID {
			continue
		}
		if r.checkViewer(&c.pair, token) == nil {
			return c.ended, until
		}
	}
	return nil, until
}

// Expire closes the channels that Validity returned and whose time is over.
func (p *Policy) Expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	grace := make(map[string]*time.Duration)
	for _, c := range p.credentials {
		if c.replaced.IsZero() {
			grace[c.pair.Name] = c.pair.PlaybackGrace
		}
	}
	p.credentials = slices.DeleteFunc(p.credentials, func(c *credential) bool {
		allowed := grace[c.pair.Name]
		if c.use == ofPublishToken || c.replaced.IsZero() || allowed == nil || now.Sub(c.replaced) < *allowed {
			return false
		}
		close(c.ended)
		return true
	})
}

// Replaced is a publish token that is no longer in force.
type Replaced struct {
	Hash [sha256.Size]byte // SHA-256 of the token
	At   time.Time
}

// ReplacedPublishTokens returns the replaced publish tokens of a pair, the oldest first.
func (p *Policy) ReplacedPublishTokens(pair string) []Replaced {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Replaced
	for _, c := range p.credentials {
		if c.pair.Name == pair && c.use == ofPublishToken && !c.replaced.IsZero() {
			out = append(out, Replaced{sha256.Sum256([]byte(c.value)), c.replaced})
		}
	}
	return out
}
