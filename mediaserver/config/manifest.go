package config

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/access"
)

// MaxManifestBytes bounds one source of a manifest; a longer one is a mistake.
const MaxManifestBytes = 1 << 20

// Keys of the Secret that tokenSecretRef names.
const (
	KeyPublishToken = "publishToken"
	KeyPlayToken    = "playToken"
	KeyJWTKey       = "jwtKey"
)

// HS256 needs a key as long as its hash (RFC 7518, section 3.2).
const minJWTKeyLength = 32

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

// Manifest is what the sources say, with defaults, and found right.
type Manifest struct {
	Pairs []Pair // in the order of the sources, names unique
}

// Pair is one StreamPair with its keys.
type Pair struct {
	v1alpha1.StreamPair
	Keys Keys
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
			App:          p.Spec.App,
			PrimaryID:    p.Spec.Primary.StreamID,
			BackupID:     p.Spec.Backup.StreamID,
			Paused:       p.Spec.Paused,
			Publish:      p.Spec.Publish.Auth,
			PublishToken: p.Keys.PublishToken,
			Playback:     p.Spec.Playback.Auth,
			PlayToken:    p.Keys.PlayToken,
			JWTKey:       p.Keys.JWTKey,
		})
	}
	return pairs
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
	m, mistakes := parseManifest(previous, sources)
	if err := mistakes.err(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func parseManifest(previous Manifest, sources []Source) (Manifest, Mistakes) {
	docs, mistakes := decode(sources)
	old := map[string]Pair{}
	for _, p := range previous.Pairs {
		old[p.Name] = p
	}
	secrets := secretDocuments(docs.secrets)
	var m Manifest
	names := map[string]string{}
	streams := map[[3]string]string{}
	for _, doc := range docs.pairs {
		pair := Pair{StreamPair: *doc.object}
		pair.Default()
		errs := pair.Validate()
		errs = append(errs, pair.resolveKeys(secrets, pair.keptKeys(old[pair.Name]))...)
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

// secretDocuments are the Secrets of a manifest by name.
type secretDocuments []document[corev1.Secret]

// find returns the Secret that a pair of the namespace means. A document without
// namespace is in any: kubectl would take both from the context.
func (s secretDocuments) find(name, namespace string) (doc document[corev1.Secret], found bool) {
	for _, doc := range s {
		if doc.object.Name == name && (namespace == "" || doc.object.Namespace == "" || doc.object.Namespace == namespace) {
			return doc, true
		}
	}
	return doc, false
}

// keptKeys returns the keys of the pair's predecessor that hold for it too.
func (p *Pair) keptKeys(before Pair) Keys {
	kept := before.Keys
	now, then := p.Spec, before.Spec
	renewed := now.Publish.TokenGeneration != then.Publish.TokenGeneration
	if !sameSecret(now.Publish.TokenSecretRef, then.Publish.TokenSecretRef) || renewed && kept.GeneratedPublishToken {
		kept.PublishToken, kept.GeneratedPublishToken = "", false
	}
	ref, _ := playbackSecret(now)
	refThen, _ := playbackSecret(then)
	if !sameSecret(ref, refThen) || renewed && kept.GeneratedPlayToken {
		kept.PlayToken, kept.GeneratedPlayToken = "", false
	}
	if !sameSecret(ref, refThen) {
		kept.JWTKey = ""
	}
	return kept
}

func sameSecret(a, b *v1alpha1.SecretReference) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// playbackSecret returns the reference to the Secret with the viewers' key, and where
// in the spec it stands.
func playbackSecret(spec v1alpha1.StreamPairSpec) (*v1alpha1.SecretReference, *field.Path) {
	if spec.Playback.TokenSecretRef != nil {
		return spec.Playback.TokenSecretRef, field.NewPath("spec", "playback", "tokenSecretRef")
	}
	return spec.Publish.TokenSecretRef, field.NewPath("spec", "publish", "tokenSecretRef")
}

// resolveKeys sets the keys that the spec asks for, and returns what is wrong. Those
// that no Secret document gives are kept or generated.
func (p *Pair) resolveKeys(secrets secretDocuments, kept Keys) field.ErrorList {
	var errs field.ErrorList
	if p.Spec.Publish.Auth == v1alpha1.PublishToken {
		path := field.NewPath("spec", "publish", "tokenSecretRef")
		token, err := p.key(secrets, KeyPublishToken, path, p.Spec.Publish.TokenSecretRef)
		if err != nil {
			errs = append(errs, err)
		}
		p.Keys.PublishToken, p.Keys.GeneratedPublishToken = tokenOr(token, kept.PublishToken, kept.GeneratedPublishToken)
	}
	ref, path := playbackSecret(p.Spec)
	switch p.Spec.Playback.Auth {
	case v1alpha1.PlaybackToken:
		token, err := p.key(secrets, KeyPlayToken, path, ref)
		if err != nil {
			errs = append(errs, err)
		}
		p.Keys.PlayToken, p.Keys.GeneratedPlayToken = tokenOr(token, kept.PlayToken, kept.GeneratedPlayToken)
	case v1alpha1.PlaybackJWT:
		key, err := p.key(secrets, KeyJWTKey, path, ref)
		p.Keys.JWTKey = cmp.Or(key, kept.JWTKey)
		switch {
		case err != nil:
			errs = append(errs, err)
		case p.Keys.JWTKey == "":
			// Whoever signs the viewers' tokens must have the key: making one up helps nobody.
			errs = append(errs, field.Required(field.NewPath("spec", "playback", "tokenSecretRef"),
				"auth JWT needs a Secret document with the key jwtKey"))
		}
	}
	return errs
}

// key returns a key from the Secret that ref names; empty when there is none to look in.
func (p *Pair) key(secrets secretDocuments, key string, path *field.Path, ref *v1alpha1.SecretReference) (string, *field.Error) {
	if ref == nil || len(secrets) == 0 {
		return "", nil
	}
	secret, found := secrets.find(ref.Name, p.Namespace)
	if !found {
		return "", field.NotFound(path.Child("name"), ref.Name)
	}
	value, there := secret.object.StringData[key]
	if !there {
		value = string(secret.object.Data[key])
	}
	switch {
	case len(secret.mistaken) > 0:
		return "", nil // said where it stands
	case value == "":
		return "", field.Required(path, fmt.Sprintf("the Secret %q has no %s", ref.Name, key))
	case key == KeyJWTKey && len(value) < minJWTKeyLength:
		return "", field.Forbidden(path, fmt.Sprintf("%s of the Secret %q must have at least %d bytes", key, ref.Name, minJWTKeyLength))
	case key != KeyJWTKey && !tokenForm.MatchString(value):
		return "", field.Forbidden(path, fmt.Sprintf("%s of the Secret %q %s", key, ref.Name, tokenRule))
	}
	return value, nil
}

// tokenOr returns the chosen token, else the one to be kept, else a random one of 130
// bits.
func tokenOr(chosen, kept string, keptIsGenerated bool) (token string, generated bool) {
	switch {
	case chosen != "":
		return chosen, false
	case kept != "":
		return kept, keptIsGenerated
	}
	return rand.Text(), true
}
