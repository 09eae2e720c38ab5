// Package access decides who may publish and who may watch. It knows nothing about connections: the
// ingest and playback packages find the token in their own protocol, and ask here.
//
// The rules come from the StreamPairs of the manifest. One token opens both legs of a pair, since a
// token for one stream alone could not authorise a failover. A stream that several pairs share
// opens with the token of any of them. It is open without a token only if all these pairs leave it
// open. As soon as one pair asks for a token, for publishing or for watching, streams that no pair
// names are closed. A media pod in a cluster never accepts or plays a stream that no pair names:
// see [NewDeclaredOnly].
//
// A viewer's JSON Web Token (playback.auth JWT) is signed with HS256 and the pair's jwtKey, or by
// one of the pair's [Signers]. A publisher's token is signed by one of the pair's Signers, and has
// the word publish in scope (RFC 8693 section 4.2). So no viewer's token publishes, whoever signed
// it. A token must have exp, and say which pair it is for:
//
//   - aud (RFC 7519 section 4.1.3), a string or an array, must have the pair's
//     [Pair.Audience], streampair:NAMESPACE/NAME, or one of the Signers' audiences, if aud is there
//     at all.
//   - aud must be there if the Signers are shared: their tokens may be meant for another pair.
//   - sub must be the pair's name or one of its two stream ids. It may be missing where aud
//     is there, and may be anything where aud is one of the Signers' audiences.
//   - iss must be the Signers' issuer, if they have one.
//
// Either way the token opens the whole pair. Without aud, a sub that two pairs of one server would
// accept opens neither: a token for one audience must not open another. nbf is honoured. A crit
// header is refused (RFC 7515 section 4.1.11: no extension is known here). Other claims are
// ignored. A token is checked when a session opens. A session that plays is not cut when its token
// expires, unless [Pair.EndAtExpiry] is set: see [Policy.Validity].
//
// A Policy also knows the tokens that were in force before. So sessions that those tokens admitted
// can be ended: see [Policy.Validity] and [Policy.ReplacedPublishTokens].
//
// Start at [Policy].
package access

import (
	"cmp"
	"context"
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

// ErrUnauthorized is an error of Publish and Play, for errors.Is. The others are
// jwks.ErrUnavailable (the keys that check the token are not there yet) and stream.ErrUndeclared.
// stream.ErrUndeclared does not name the declared streams, because a stranger may read it. A
// publisher with a valid publish token is told the nearest stream that the token opens.
var ErrUnauthorized = errors.New("the token is missing or wrong")

const (
	// maxTokenLength: a longer token is refused unread. Nobody needs one, and parsing takes time.
	maxTokenLength = 4096
	// clockLeeway is how far the clocks of signers and of this server may differ.
	clockLeeway = 5 * time.Second
)

// Pair is the part of a StreamPair that the rules need.
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

	PublishSigners  *Signers // whose tokens publish beside PublishToken; nil: nobody's
	PlaybackSigners *Signers // whose tokens play, in place of those of JWTKey; nil: nobody's
	// EndAtExpiry ends a viewer's session when the viewer's JSON Web Token expires.
	EndAtExpiry bool

	// PlaybackGrace is how long a viewer may go on watching after the viewer's credential was
	// replaced; nil: for as long as the viewer likes.
	PlaybackGrace *time.Duration
}

// Keys find the key that checks a JSON Web Token's signature, for the jwt package. Package jwks has
// two kinds.
type Keys interface {
	Key(ctx context.Context, token *jwt.Token) (any, error)
}

// Signers are who signs JSON Web Tokens.
type Signers struct {
	// ID names the Keys and the Issuer: the tokens of Signers with the same ID are the same.
	ID        string
	Keys      Keys
	Issuer    string   // what iss must be; empty: iss is not looked at
	Audiences []string // what aud may be, beside Pair.Audience
	// Shared reports whether the Signers may sign for others than the pair. Their tokens need aud then.
	Shared bool
}

// Audience returns the pair's name in the aud claim of a JSON Web Token.
func (p *Pair) Audience() string {
	return "streampair:" + cmp.Or(p.Namespace, "default") + "/" + p.Name
}

// subjects returns the pair's names in the sub claim, without repetition.
func (p *Pair) subjects() []string {
	names := []string{p.Name, p.PrimaryID, p.BackupID}
	slices.Sort(names)
	return slices.Compact(names)
}

// Policy answers for the pairs that it was given last. It is safe for concurrent use.
type Policy struct {
	declaredOnly bool
	rules        atomic.Pointer[rules]

	mu          sync.Mutex // guards credentials; is not locked to admit anybody
	credentials []*credential
}

// New returns a Policy for pairs. Without pairs, everybody may publish and watch.
func New(pairs []Pair) *Policy {
	p := &Policy{}
	p.Replace(pairs)
	return p
}

// NewDeclaredOnly returns a Policy for pairs that closes all other streams, whatever the pairs ask
// for. It is for a media pod: its ports are open to a whole cluster, and its memory is for the
// streams of its pair.
func NewDeclaredOnly(pairs []Pair) *Policy {
	p := &Policy{declaredOnly: true}
	p.Replace(pairs)
	return p
}

// Replace replaces the pairs that the Policy answers for.
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
// jwks.ErrUnavailable, stream.ErrUndeclared.
func (p *Policy) Publish(app, streamID, token string) (authenticated bool, err error) {
	return p.rules.Load().publish(app, streamID, token)
}

// Play reports whether somebody who shows token may watch the stream. If backupStreamID is not
// empty, the token must open that stream too. Errors: ErrUnauthorized, jwks.ErrUnavailable,
// stream.ErrUndeclared.
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

// rules never change after newRules, so they need no lock.
type rules struct {
	open    bool // whether streams that no pair names are open to everybody
	streams map[streamKey][]Pair
	// acceptingPairs counts the pairs that accept a JSON Web Token of that signer for that sub.
	acceptingPairs map[signedSubject]int
	// opened has the streams that a publish token opens, by the token's SHA-256.
	opened map[[sha256.Size]byte]map[stream.Key]bool
}

type signedSubject struct {
	to       purpose
	key, sub string
}

func newRules(pairs []Pair) *rules {
	r := &rules{
		open: true, streams: make(map[streamKey][]Pair), acceptingPairs: make(map[signedSubject]int),
		opened: make(map[[sha256.Size]byte]map[stream.Key]bool),
	}
	for _, pair := range pairs {
		for _, sub := range pair.subjects() {
			if pair.Playback == v1alpha1.PlaybackJWT {
				r.acceptingPairs[signedSubject{toPlay, pair.playbackSigners().ID, sub}]++
			}
			if pair.PublishSigners != nil {
				r.acceptingPairs[signedSubject{toPublish, pair.PublishSigners.ID, sub}]++
			}
		}
		if pair.Publish != v1alpha1.PublishNone || pair.Playback != v1alpha1.PlaybackNone {
			r.open = false
		}
		for _, id := range []string{pair.PrimaryID, pair.BackupID} {
			key := streamKey{pair.App, id}
			r.streams[key] = append(r.streams[key], pair)
		}
		r.noteOpened(&pair)
	}
	return r
}

func (r *rules) publish(app, streamID, token string) (authenticated bool, err error) {
	pairs, declared := r.streams[streamKey{app, streamID}]
	if !declared {
		return false, r.undeclaredFor(stream.Key{App: app, ID: streamID}, token)
	}
	open, running := true, false
	refusal := ErrUnauthorized
	for _, pair := range pairs {
		running = running || !pair.Paused
		if pair.Publish == v1alpha1.PublishNone {
			continue
		}
		open = false
		if pair.Paused {
			continue
		}
		err := r.checkPublisher(&pair, token)
		if err == nil {
			return true, nil
		}
		refusal = err
	}
	switch {
	case !running:
		return false, stream.ErrUndeclared
	case !open:
		return false, refusal
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
		return stream.ErrUndeclared
	case !open:
		return refusal
	}
	return nil
}

// noteOpened notes the streams that the pair's publish token opens.
func (r *rules) noteOpened(p *Pair) {
	if p.Publish != v1alpha1.PublishToken || p.PublishToken == "" || p.Paused {
		return
	}
	token := sha256.Sum256([]byte(p.PublishToken))
	if r.opened[token] == nil {
		r.opened[token] = make(map[stream.Key]bool)
	}
	for _, id := range []string{p.PrimaryID, p.BackupID} {
		r.opened[token][stream.Key{App: p.App, ID: id}] = true
	}
}

// undeclaredFor returns the error for a publisher who shows token and asks for a stream that no
// pair names. If the token opens any stream, the error names the nearest one: the id may be
// misspelt.
func (r *rules) undeclaredFor(key stream.Key, token string) error {
	err := r.undeclared()
	if err == nil {
		return nil
	}
	opened := r.opened[sha256.Sum256([]byte(token))]
	if len(token) > maxTokenLength || len(opened) == 0 {
		return fmt.Errorf("publish %s: %w", key, err)
	}
	return fmt.Errorf("publish %s: %w; the nearest that your token opens is %s", key, err, stream.Nearest(key, opened))
}

func (r *rules) undeclared() error {
	if r.open {
		return nil
	}
	return stream.ErrUndeclared
}

func (r *rules) checkViewer(p *Pair, token string) error {
	switch {
	case p.Playback == v1alpha1.PlaybackJWT:
		return r.checkJWT(p, toPlay, p.playbackSigners(), token)
	case sameToken(token, p.PlayToken):
		return nil
	}
	return ErrUnauthorized
}

func (r *rules) checkPublisher(p *Pair, token string) error {
	switch {
	case sameToken(token, p.PublishToken):
		return nil
	case p.PublishSigners != nil && isJWT(token):
		return r.checkJWT(p, toPublish, p.PublishSigners, token)
	}
	return ErrUnauthorized
}

// sameToken reports whether two tokens are equal. It takes the same time wherever they differ, and
// whatever their lengths.
func sameToken(got, want string) bool {
	if want == "" || len(got) > maxTokenLength {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
