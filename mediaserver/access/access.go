// Package access decides who may publish and who may watch. It is not about
// connections: the ingest and playback packages find the token in their own protocol
// and ask here.
//
// The rules come from the StreamPairs of the manifest. One token opens both legs of a
// pair, since a token for one stream alone could not authorise a failover. A stream
// that several pairs share opens with the token of any of them, and is open without
// one only if all of them leave it open. As soon as one pair asks for a token, for
// publishing or for watching, streams that no pair names are closed. A media pod in a
// cluster never takes or plays a stream that no pair names: see [NewDeclaredOnly].
//
// A viewer's JSON Web Token (playback.auth JWT) is signed with HS256 and the pair's
// jwtKey. It must have exp, and say which pair it is for:
//
//   - aud (RFC 7519 section 4.1.3), a string or an array, must have the pair's
//     [Pair.Audience], streampair:NAMESPACE/NAME, if aud is there at all.
//   - sub must be the pair's name or one of its two stream ids. It may be missing where aud
//     is there.
//
// Either way the token opens the whole pair. Without aud, a sub that two pairs of one server
// would take opens neither: a token for one audience must not open another. nbf is honoured,
// a crit header is refused (RFC 7515 section 4.1.11: no extension is known here), other
// claims are not looked at. A token is checked when a session opens; a session that plays is
// not cut when its token runs out.
//
// A Policy also knows the tokens that were in force before, so that whoever they admitted
// can be ended: see [Policy.Revoked] and [Policy.ReplacedPublishTokens].
//
// Start at [Policy].
package access

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Errors of Publish and Play, for errors.Is.
var (
	ErrUnauthorized = errors.New("the token is missing or wrong")
	// ErrUnknownStream does not tell the ids that are declared: a stranger may read it.
	ErrUnknownStream = stream.ErrUndeclared
)

const (
	// A longer token is refused unread: nobody needs one, and parsing costs.
	maxTokenLength = 4096
	// The clocks of those who sign and of this server may differ by this much.
	clockLeeway = 5 * time.Second
)

// Pair is what the rules need to know of a StreamPair.
type Pair struct {
	Name      string // the StreamPair's name
	Namespace string // the StreamPair's namespace; empty: default
	App       string // first path segment of its streams
	PrimaryID string // stream id of the primary leg
	BackupID  string // stream id of the backup leg
	Paused    bool   // nobody may publish or watch

	Publish      v1alpha1.PublishAuth  // None or Token
	PublishToken string                // for Publish Token; empty: nobody gets in
	Playback     v1alpha1.PlaybackAuth // None, Token or JWT
	PlayToken    string                // for Playback Token; empty: nobody gets in
	JWTKey       string                // HMAC key for Playback JWT; empty: nobody gets in

	// PlaybackGrace is how long a viewer may go on watching after the credential that admitted
	// the viewer was replaced; nil: for as long as the viewer likes.
	PlaybackGrace *time.Duration
}

// Audience is what the aud claim of a JSON Web Token calls the pair.
func (p *Pair) Audience() string {
	return "streampair:" + cmp.Or(p.Namespace, "default") + "/" + p.Name
}

// subjects are what the sub claim may call the pair, without repetition.
func (p *Pair) subjects() []string {
	names := []string{p.Name, p.PrimaryID, p.BackupID}
	slices.Sort(names)
	return slices.Compact(names)
}

// Policy answers for the pairs it was last given. It is safe for concurrent use.
type Policy struct {
	declaredOnly bool
	rules        atomic.Pointer[rules]

	mu          sync.Mutex // guards credentials; is not taken to admit anybody
	credentials []*credential
}

// New returns a Policy for pairs. Without any, everybody may publish and watch.
func New(pairs []Pair) *Policy {
	p := &Policy{}
	p.Replace(pairs)
	return p
}

// NewDeclaredOnly returns a Policy for pairs that closes every other stream, whatever
// the pairs ask for. It is for a media pod: its ports are open to a whole cluster, and
// its memory is meant for the streams of its pair.
func NewDeclaredOnly(pairs []Pair) *Policy {
	p := &Policy{declaredOnly: true}
	p.Replace(pairs)
	return p
}

// Replace makes the Policy answer for other pairs from now on.
func (p *Policy) Replace(pairs []Pair) { p.replace(pairs, time.Now()) }

func (p *Policy) replace(pairs []Pair, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials = follow(p.credentials, pairs, now)
	r := newRules(pairs)
	r.open = r.open && !p.declaredOnly
	p.rules.Store(r)
}

// Publish reports whether somebody who shows token may publish the stream.
// Authenticated is false when no token was needed. Errors: ErrUnauthorized,
// ErrUnknownStream.
func (p *Policy) Publish(app, streamID, token string) (authenticated bool, err error) {
	return p.rules.Load().publish(app, streamID, token)
}

// Play reports whether somebody who shows token may watch the stream and, where
// backupStreamID is not empty, that one too. Errors: ErrUnauthorized,
// ErrUnknownStream.
func (p *Policy) Play(app, streamID, backupStreamID, token string) error {
	r := p.rules.Load()
	if err := r.play(app, streamID, token); err != nil {
		return err
	}
	if backupStreamID == "" {
		return nil
	}
	return r.play(app, backupStreamID, token)
}

type streamKey struct{ app, id string }

// rules are never changed after newRules, so that they need no lock.
type rules struct {
	open    bool // streams that no pair names are open to everybody
	streams map[streamKey][]Pair
	// takers counts the pairs that take a JSON Web Token signed with that key for that sub.
	takers map[signedSubject]int
}

type signedSubject struct{ key, sub string }

func newRules(pairs []Pair) *rules {
	r := &rules{open: true, streams: make(map[streamKey][]Pair), takers: make(map[signedSubject]int)}
	for _, pair := range pairs {
		if pair.Playback == v1alpha1.PlaybackJWT {
			for _, sub := range pair.subjects() {
				r.takers[signedSubject{pair.JWTKey, sub}]++
			}
		}
		if pair.Publish != v1alpha1.PublishNone || pair.Playback != v1alpha1.PlaybackNone {
			r.open = false
		}
		for _, id := range []string{pair.PrimaryID, pair.BackupID} {
			key := streamKey{pair.App, id}
			r.streams[key] = append(r.streams[key], pair)
		}
	}
	return r
}

func (r *rules) publish(app, streamID, token string) (authenticated bool, err error) {
	pairs, declared := r.streams[streamKey{app, streamID}]
	if !declared {
		return false, r.undeclared()
	}
	open, running := true, false
	for _, pair := range pairs {
		running = running || !pair.Paused
		if pair.Publish == v1alpha1.PublishNone {
			continue
		}
		open = false
		if !pair.Paused && sameToken(token, pair.PublishToken) {
			return true, nil
		}
	}
	switch {
	case !running:
		return false, ErrUnknownStream
	case !open:
		return false, ErrUnauthorized
	}
	return false, nil
}

func (r *rules) play(app, streamID, token string) error {
	pairs, declared := r.streams[streamKey{app, streamID}]
	if !declared {
		return r.undeclared()
	}
	open, running := true, false
	refusal := ErrUnauthorized
	for _, pair := range pairs {
		running = running || !pair.Paused
		if pair.Playback == v1alpha1.PlaybackNone {
			continue
		}
		open = false
		if pair.Paused {
			continue
		}
		err := r.checkViewer(&pair, token)
		if err == nil {
			return nil
		}
		refusal = err
	}
	switch {
	case !running:
		return ErrUnknownStream
	case !open:
		return refusal
	}
	return nil
}

func (r *rules) undeclared() error {
	if r.open {
		return nil
	}
	return ErrUnknownStream
}

func (r *rules) checkViewer(p *Pair, token string) error {
	if p.Playback == v1alpha1.PlaybackJWT {
		return r.checkJWT(p, token)
	}
	if sameToken(token, p.PlayToken) {
		return nil
	}
	return ErrUnauthorized
}

// viewerClaims are the claims that are looked at. Audience is nil if there is no aud; an
// empty aud is for nobody.
type viewerClaims struct {
	jwt.RegisteredClaims
	Audience *jwt.ClaimStrings `json:"aud"`
}

func (r *rules) checkJWT(p *Pair, token string) error {
	if p.JWTKey == "" || token == "" || len(token) > maxTokenLength {
		return ErrUnauthorized
	}
	var claims viewerClaims
	// The list of methods is what keeps "none" and a public key used as HMAC key out.
	_, err := jwt.ParseWithClaims(token, &claims,
		func(t *jwt.Token) (any, error) {
			if _, critical := t.Header["crit"]; critical {
				return nil, errors.New("its crit header asks for extensions that this server does not know")
			}
			return []byte(p.JWTKey), nil
		},
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(clockLeeway))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if reason := r.misaddressed(p, claims); reason != "" {
		return fmt.Errorf("%w: %s", ErrUnauthorized, reason)
	}
	return nil
}

// misaddressed says why a token with these claims is not for the pair; empty: it is.
func (r *rules) misaddressed(p *Pair, claims viewerClaims) string {
	addressed := claims.Audience != nil
	switch {
	case addressed && !slices.Contains(*claims.Audience, p.Audience()):
		return "its aud is for something else; it must be streampair:NAMESPACE/NAME of the StreamPair"
	case claims.Subject == "" && !addressed:
		return "it has neither aud nor sub"
	case claims.Subject != "" && !slices.Contains(p.subjects(), claims.Subject):
		return "its sub is for something else"
	case !addressed && r.takers[signedSubject{p.JWTKey, claims.Subject}] > 1:
		return "its sub is for more than one StreamPair of this server; add the aud streampair:NAMESPACE/NAME"
	}
	return ""
}

// sameToken takes the same time wherever the two differ, and whatever their lengths.
func sameToken(got, want string) bool {
	if want == "" || len(got) > maxTokenLength {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
