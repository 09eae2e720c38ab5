package config

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/access"
)

// MaxManifestBytes bounds one source of a manifest. A longer source is a mistake.
const MaxManifestBytes = 1 << 20

// Keys of the Secret that tokenSecretRef names.
const (
	KeyPublishToken = v1alpha1.SecretKeyPublishToken
	KeyPlayToken    = v1alpha1.SecretKeyPlayToken
	KeyJWTKey       = v1alpha1.SecretKeyJWTKey
	KeyJWKS         = v1alpha1.SecretKeyJWKS

	KeySRTPassphrase = v1alpha1.SecretKeySRTPassphrase
)

// minJWTKeyLength is the length of the hash: HS256 needs
// a key as long as its hash (RFC 7518, section 3.2).
const minJWTKeyLength = 32

// Bounds of a passphrase of SRT, in bytes: libsrt takes no others.
const minPassphrase, maxPassphrase = 10, 79

// maxCredential bounds the username and the credential of an ICE server, in bytes.
const maxCredential = 1024

// tokenForm is the form of a token. A token appears in URLs and RTMP stream
// keys, where the media server or an encoder would misread '+', '&' or '/'. It
// may only have characters that URLs leave unescaped (RFC 3986, section 2.3).
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,256}$`)

const tokenRule = "must be 8 to 256 letters, digits, '-', '.', '_' and '~', so that it can stand in a URL as it is"

// A Source is one file or request with YAML documents.
type Source struct {
	Name    string // precedes each mistake
	Content []byte
}

// Equal reports whether both have the same name and content.
func (s Source) Equal(other Source) bool {
	return s.Name == other.Name && bytes.Equal(s.Content, other.Content)
}

// A Manifest is the checked content of the sources, with defaults.
type Manifest struct {
	Pairs []Pair // in the order of the sources, names unique
	// SecretErrors says what the Secrets of --secrets
	// lack, and what is invalid there, one line each.
	SecretErrors []string
	// UnknownFields are the paths of the StreamPairs' fields that this version does
	// not have, such as spec.failover.fast. They are only set with Files.Lenient.
	UnknownFields []string
}

// A Version identifies a manifest of a cluster.
type Version struct {
	// UID is that of the StreamPair; empty: the manifest has none.
	UID types.UID
	// Generation is the media.streampair.dev/config-generation; 0: the manifest has none.
	Generation int64
	// Created is when the StreamPair was created, to a second; zero: the manifest does not say.
	Created time.Time
}

// Is reports whether v and other identify the same manifest.
func (v Version) Is(other Version) bool {
	return v.UID == other.UID && v.Generation == other.Generation
}

// Version returns the version of the pair with the highest generation.
func (m Manifest) Version() Version {
	var version Version
	for _, p := range m.Pairs {
		// A value that is not a number counts as no
		// generation, because users may set the annotation.
		n, err := strconv.ParseInt(p.Annotations[v1alpha1.AnnotationConfigGeneration], 10, 64)
		if err == nil && n > version.Generation {
			version = Version{UID: p.UID, Generation: n, Created: p.CreationTimestamp.Time}
		}
	}
	return version
}

// Generation returns the highest media.streampair.dev/config-generation
// of the pairs; 0: no pair has the annotation.
func (m Manifest) Generation() int64 { return m.Version().Generation }

// Equal reports whether both declare the same pairs with the same keys.
func (m Manifest) Equal(other Manifest) bool {
	return equality.Semantic.DeepEqual(m.Pairs, other.Pairs)
}

// Declares reports whether both declare the same pairs, whatever their keys.
func (m Manifest) Declares(other Manifest) bool {
	return slices.EqualFunc(m.Pairs, other.Pairs, func(a, b Pair) bool {
		return equality.Semantic.DeepEqual(a.StreamPair, b.StreamPair)
	})
}

// A Pair is one StreamPair with its keys.
type Pair struct {
	v1alpha1.StreamPair
	Keys Keys
	// ICEServers are the servers that browsers are told of.
	// A server whose credential is missing is left out.
	ICEServers []ICEServer
}

// Keys are a pair's secrets. They must not appear in logs.
type Keys struct {
	PublishToken string // set if publish.auth is Token
	PlayToken    string // set if playback.auth is Token
	JWTKey       string // set if playback.auth is JWT, and playback.jwks is not
	PublishJWKS  string // JSON; set if publish.jwks has a secretRef
	PlaybackJWKS string // JSON; set if playback.jwks has a secretRef
	// SRTPassphrase is set if publish.srtPassphraseSecretRef is.
	SRTPassphrase string

	// GeneratedPublishToken and GeneratedPlayToken say that nobody
	// configured the token. It must be shown once, or nobody knows it.
	GeneratedPublishToken bool
	GeneratedPlayToken    bool
}

// String returns a text without any secret.
func (Keys) String() string { return "(keys)" }

// GoString returns a text without any secret.
func (Keys) GoString() string { return "config.Keys{…}" }

// MarshalJSON returns a text without any secret.
func (Keys) MarshalJSON() ([]byte, error) { return []byte(`"(keys)"`), nil }

// Access returns the part of the pairs that package access needs.
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

			EndAtExpiry:   p.Spec.Playback.EndSessionsAtExpiry,
			PlaybackGrace: seconds(p.Spec.Playback.ReplacedTokenGraceSeconds),
		})
	}
	return pairs
}

// seconds returns the duration of n seconds; nil if n is nil.
func seconds(n *int32) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

// ParseManifest reads the StreamPair and Secret documents of sources.
//
// Decoding is strict: an unknown field is a mistake. The keys of a pair come from the
// Secret document that its tokenSecretRef names, in any of the sources. They are
// publishToken and playToken (8 to 256 characters that URLs leave unescaped) and jwtKey
// (at least 32 bytes). Without tokenSecretRef, or without any Secret document, the pair
// keeps the keys that it has in previous. A missing publish or play token is then
// generated. A generated token is made again when publish.tokenGeneration changes.
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
		m.UnknownFields = append(m.UnknownFields, doc.unknown...)
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
		// A play URL has an app and two ids, so it could not tell such pairs apart.
		url := [3]string{pair.Spec.App, pair.Spec.Primary.StreamID, pair.Spec.Backup.StreamID}
		if other, twice := streams[url]; twice && len(errs) == 0 {
			mistakes.add("%s: spec: Duplicate value: app %q, primary %q, backup %q: also in %s", doc.where, url[0], url[1], url[2], other)
		}
		streams[url] = doc.where
		m.Pairs = append(m.Pairs, pair)
	}
	return m, mistakes
}
