package config

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/access"
)

// MaxManifestBytes bounds one source of a manifest; a longer one is a mistake.
const MaxManifestBytes = 1 << 20

// Keys of the Secret that tokenSecretRef names.
const (
	KeyPublishToken = v1alpha1.SecretKeyPublishToken
	KeyPlayToken    = v1alpha1.SecretKeyPlayToken
	KeyJWTKey       = v1alpha1.SecretKeyJWTKey
)

// HS256 needs a key as long as its hash (RFC 7518, section 3.2).
const minJWTKeyLength = 32

// maxCredential bounds the username and the credential of an ICE server, in bytes.
const maxCredential = 1024

// A token stands in URLs and in RTMP stream keys, where '+', '&' or '/' would be read
// as something else, by us or by an encoder: so it is made of what URLs leave alone
// (RFC 3986, section 2.3).
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,256}$`)

const tokenRule = "must be 8 to 256 letters, digits, '-', '.', '_' and '~', so that it can stand in a URL as it is"

// Source is one file, or one request, with YAML documents.
type Source struct {
	Name    string // stands before each mistake
	Content []byte
}

// Equal says whether both hold the same.
func (s Source) Equal(other Source) bool {
	return s.Name == other.Name && bytes.Equal(s.Content, other.Content)
}

// Manifest is what the sources say, with defaults, and found right.
type Manifest struct {
	Pairs []Pair // in the order of the sources, names unique
	// SecretErrors says what the Secrets of --secrets lack or have wrong, one line each.
	SecretErrors []string
}

// Generation is the highest media.streampair.dev/config-generation of the pairs; 0: none
// has the annotation.
func (m Manifest) Generation() int64 {
	var generation int64
	for _, p := range m.Pairs {
		// What is no number counts as none: a person's own annotation stops nothing.
		n, err := strconv.ParseInt(p.Annotations[v1alpha1.AnnotationConfigGeneration], 10, 64)
		if err == nil {
			generation = max(generation, n)
		}
	}
	return generation
}

// Equal says whether both declare the same pairs with the same keys.
func (m Manifest) Equal(other Manifest) bool {
	return equality.Semantic.DeepEqual(m.Pairs, other.Pairs)
}

// Declares says whether both declare the same pairs, whatever their keys.
func (m Manifest) Declares(other Manifest) bool {
	return slices.EqualFunc(m.Pairs, other.Pairs, func(a, b Pair) bool {
		return equality.Semantic.DeepEqual(a.StreamPair, b.StreamPair)
	})
}

// Pair is one StreamPair with its keys.
type Pair struct {
	v1alpha1.StreamPair
	Keys Keys
	// ICEServers are those to tell browsers of. A server whose credential is missing is
	// left out.
	ICEServers []ICEServer
}

// Keys are a pair's secrets. They show in no log.
type Keys struct {
	PublishToken string // set if publish.auth is Token
	PlayToken    string // set if playback.auth is Token
	JWTKey       string // set if playback.auth is JWT

	// GeneratedPublishToken and GeneratedPlayToken say that nobody chose the token: it
	// is to be shown once, or nobody knows it.
	GeneratedPublishToken bool
	GeneratedPlayToken    bool
}

// String returns no secret.
func (Keys) String() string { return "(keys)" }

// GoString returns no secret.
func (Keys) GoString() string { return "config.Keys{…}" }

// MarshalJSON returns no secret.
func (Keys) MarshalJSON() ([]byte, error) { return []byte(`"(keys)"`), nil }

// Access returns what package access needs to know of the pairs.
func (m Manifest) Access() []access.Pair {
	pairs := make([]access.Pair, 0, len(m.Pairs))
	for _, p := range m.Pairs {
		pairs = append(pairs, access.Pair{
			Name:         p.Name,
			Namespace:    p.Namespace,
			App:          p.Spec.App,
			PrimaryID:    p.Spec.Primary.StreamID,
			BackupID:     p.Spec.Backup.StreamID,
			Paused:       p.Spec.Paused,
			Publish:      p.Spec.Publish.Auth,
			PublishToken: p.Keys.PublishToken,
			Playback:     p.Spec.Playback.Auth,
			PlayToken:    p.Keys.PlayToken,
			JWTKey:       p.Keys.JWTKey,

			PlaybackGrace: seconds(p.Spec.Playback.ReplacedTokenGraceSeconds),
		})
	}
	return pairs
}

// seconds is a duration that may be unset.
func seconds(n *int32) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

// ParseManifest reads the StreamPair and Secret documents of sources.
//
// Decoding is strict: a field that does not exist is a mistake. The keys of a pair come
// from the Secret document named by its tokenSecretRef, wherever among the sources it
// stands: publishToken and playToken (8 to 256 characters that a URL leaves alone) and
// jwtKey (at least 32 bytes). Without tokenSecretRef, or with no Secret document at all,
// the pair keeps the keys that it has in previous, and a publish or play token that it
// lacks is generated. A generated one is made anew when publish.tokenGeneration changes.
//
// The error is [Mistakes], one line each.
func ParseManifest(previous Manifest, sources ...Source) (Manifest, error) {
	return Files{}.Parse(previous, sources...)
}

func (f Files) parse(previous Manifest, sources []Source) (Manifest, Mistakes) {
	docs, mistakes := decode(sources, f.Lenient)
	old := map[string]Pair{}
	for _, p := range previous.Pairs {
		old[p.Name] = p
	}
	secrets := secrets{documents: docs.secrets, folder: f.Secrets}
	var m Manifest
	names := map[string]string{}
	streams := map[[3]string]string{}
	for _, doc := range docs.pairs {
		pair := Pair{StreamPair: *doc.object}
		pair.Default()
		errs := pair.Validate()
		secrets.missing = nil
		errs = append(errs, pair.resolveKeys(&secrets, pair.keptKeys(old[pair.Name]))...)
		errs = append(errs, pair.resolveICEServers(&secrets)...)
		for _, line := range secrets.missing {
			m.SecretErrors = append(m.SecretErrors, doc.where+": "+line)
		}
		for _, err := range errs {
			if !doc.isMistaken(err.Field) {
				mistakes.add("%s: %v", doc.where, err)
			}
		}
		if other, twice := names[pair.Name]; twice && pair.Name != "" {
			mistakes.add("%s: metadata.name: Duplicate value: %q: also in %s", doc.where, pair.Name, other)
		}
		names[pair.Name] = doc.where
		// A play URL names an app and two ids: it could not tell such pairs apart.
		url := [3]string{pair.Spec.App, pair.Spec.Primary.StreamID, pair.Spec.Backup.StreamID}
		if other, twice := streams[url]; twice && len(errs) == 0 {
			mistakes.add("%s: spec: Duplicate value: app %q, primary %q, backup %q: also in %s", doc.where, url[0], url[1], url[2], other)
		}
		streams[url] = doc.where
		m.Pairs = append(m.Pairs, pair)
	}
	return m, mistakes
}
