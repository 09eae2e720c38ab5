package config

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/jwks"
)

// An ICEServer is a STUN or TURN server that browsers
// are told of. Its methods show no credential.
type ICEServer struct {
	URLs                 []string
	Username, Credential string // both empty: the server needs none
}

// String returns a text without the credential.
func (s ICEServer) String() string { return strings.Join(s.URLs, " ") }

// GoString returns a text without the credential.
func (s ICEServer) GoString() string { return fmt.Sprintf("config.ICEServer{URLs: %q, …}", s.URLs) }

// MarshalJSON returns a text without the credential.
func (s ICEServer) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", s.String()), nil }

// secrets are the Secrets that pairs may name: the
// documents of the manifest, and the folders of a folder.
type secrets struct {
	documents []document[corev1.Secret]
	folder    string
	// missing collects what the folder lacks for the current pair.
	missing []string
}

// document returns the Secret of that name for a pair in namespace.
// A document without a namespace matches every namespace, because
// kubectl would take both namespaces from its context.
func (s *secrets) document(name, namespace string) (doc document[corev1.Secret], found bool) {
	for _, doc := range s.documents {
		if doc.object.Name == name && (namespace == "" || doc.object.Namespace == "" || doc.object.Namespace == namespace) {
			return doc, true
		}
	}
	return doc, false
}

// A lookup asks for one key of a Secret that a pair names.
type lookup struct {
	namespace string
	path      *field.Path // of the reference
	ref       *v1alpha1.SecretReference
	key       string
	// judge returns what is wrong with a value, without showing the value; empty: nothing.
	judge func(value string) string
}

// value returns the key. The key is empty without an error if the
// pair can do without it. Either nobody gave Secrets (then made
// is true), or the folder lacks the key, which s.missing reports.
func (s *secrets) value(l lookup) (value string, made bool, wrong *field.Error) {
	if l.ref == nil {
		return "", true, nil
	}
	doc, found := s.document(l.ref.Name, l.namespace)
	if !found {
		return s.fromFolder(l)
	}
	value, there := doc.object.StringData[l.key]
	if !there {
		value = string(doc.object.Data[l.key])
	}
	if len(doc.mistaken) > 0 {
		return "", true, nil // reported for the document itself
	}
	if value == "" {
		return "", true, field.Required(l.path, fmt.Sprintf("the Secret %q has no %s", l.ref.Name, l.key))
	}
	if fault := l.judge(value); fault != "" {
		return "", true, field.Forbidden(l.path, fmt.Sprintf("%s of the Secret %q %s", l.key, l.ref.Name, fault))
	}
	return value, false, nil
}

func (s *secrets) fromFolder(l lookup) (value string, made bool, wrong *field.Error) {
	switch {
	case s.folder == "" && len(s.documents) == 0:
		return "", true, nil
	case s.folder == "":
		return "", true, field.NotFound(l.path.Child("name"), l.ref.Name)
	}
	value, err := readSecret(s.folder, l.ref.Name, l.key)
	if l.key != KeyJWTKey {
		// Files that people write end in a line break. A
		// key of bytes may end in one too, and needs it.
		value = strings.TrimRight(value, "\r\n")
	}
	fault := ""
	switch {
	case err != nil:
		fault = err.Error()
	case value == "":
		fault = fmt.Sprintf("there is no Secret %q with %s", l.ref.Name, l.key)
	default:
		if fault = l.judge(value); fault != "" {
			fault = fmt.Sprintf("%s of the Secret %q %s", l.key, l.ref.Name, fault)
		}
	}
	if fault != "" {
		s.missing = append(s.missing, l.path.String()+": "+fault)
		return "", false, nil
	}
	return value, false, nil
}

// keptKeys returns the keys of the pair's predecessor that are still valid for the pair.
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
	if !sameSecret(now.Publish.JWKS.Secret(), then.Publish.JWKS.Secret()) {
		kept.PublishJWKS = ""
	}
	if !sameSecret(now.Publish.SRTPassphraseSecretRef, then.Publish.SRTPassphraseSecretRef) {
		kept.SRTPassphrase = ""
	}
	if !sameSecret(now.Playback.JWKS.Secret(), then.Playback.JWKS.Secret()) {
		kept.PlaybackJWKS = ""
	}
	return kept
}

func sameSecret(a, b *v1alpha1.SecretReference) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// playbackSecret returns the reference to the Secret with the
// viewers' key, and the path of the reference in the spec.
func playbackSecret(spec v1alpha1.StreamPairSpec) (*v1alpha1.SecretReference, *field.Path) {
	if spec.Playback.TokenSecretRef != nil {
		return spec.Playback.TokenSecretRef, field.NewPath("spec", "playback", "tokenSecretRef")
	}
	return spec.Publish.TokenSecretRef, field.NewPath("spec", "publish", "tokenSecretRef")
}

// resolveKeys sets the keys that the spec asks for, and returns the mistakes. Keys that
// no Secret gives are kept. A missing key is generated if no Secret has to give it.
func (p *Pair) resolveKeys(s *secrets, kept Keys) field.ErrorList {
	var errs field.ErrorList
	look := func(key string, path *field.Path, ref *v1alpha1.SecretReference) (value string, made bool) {
		value, made, err := s.value(lookup{p.Namespace, path, ref, key, judgeKey(key)})
		if err != nil {
			errs = append(errs, err)
		}
		return value, made
	}
	if p.Spec.Publish.Auth == v1alpha1.PublishToken {
		token, made := look(KeyPublishToken, field.NewPath("spec", "publish", "tokenSecretRef"), p.Spec.Publish.TokenSecretRef)
		p.Keys.PublishToken, p.Keys.GeneratedPublishToken = tokenOr(token, made, kept.PublishToken, kept.GeneratedPublishToken)
	}
	ref, path := playbackSecret(p.Spec)
	switch p.Spec.Playback.Auth {
	case v1alpha1.PlaybackToken:
		token, made := look(KeyPlayToken, path, ref)
		p.Keys.PlayToken, p.Keys.GeneratedPlayToken = tokenOr(token, made, kept.PlayToken, kept.GeneratedPlayToken)
	case v1alpha1.PlaybackJWT:
		if p.Spec.Playback.JWKS != nil {
			break
		}
		before := len(errs)
		key, made := look(KeyJWTKey, path, ref)
		p.Keys.JWTKey = cmp.Or(key, kept.JWTKey)
		if p.Keys.JWTKey == "" && made && len(errs) == before {
			// Whoever signs the viewers' tokens must have
			// the key, so a generated key would be useless.
			errs = append(errs, field.Required(field.NewPath("spec", "playback", "tokenSecretRef"),
				"auth JWT needs a Secret with the key jwtKey"))
		}
	}
	set := func(of *v1alpha1.JWKS, part, kept string) string {
		if of.Secret() == nil {
			return ""
		}
		path, before := field.NewPath("spec", part, "jwks", "secretRef"), len(errs)
		text, made := look(KeyJWKS, path, of.SecretRef)
		if text = cmp.Or(text, kept); text == "" && made && len(errs) == before {
			errs = append(errs, field.Required(path, "jwks needs a Secret with the key jwks"))
		}
		return text
	}
	if ref := p.Spec.Publish.SRTPassphraseSecretRef; ref != nil {
		path, before := field.NewPath("spec", "publish", "srtPassphraseSecretRef"), len(errs)
		passphrase, made := look(KeySRTPassphrase, path, ref)
		p.Keys.SRTPassphrase = cmp.Or(passphrase, kept.SRTPassphrase)
		if p.Keys.SRTPassphrase == "" && made && len(errs) == before {
			errs = append(errs, field.Required(path, "it needs a Secret with the key srtPassphrase"))
		}
	}
	p.Keys.PublishJWKS = set(p.Spec.Publish.JWKS, "publish", kept.PublishJWKS)
	p.Keys.PlaybackJWKS = set(p.Spec.Playback.JWKS, "playback", kept.PlaybackJWKS)
	return errs
}

func judgeKey(key string) func(string) string {
	return func(value string) string {
		switch {
		case key == KeyJWKS:
			if _, err := jwks.Parse([]byte(value)); err != nil {
				return fmt.Sprintf("cannot be used: %v", err)
			}
		case key == KeySRTPassphrase:
			if len(value) < minPassphrase || len(value) > maxPassphrase {
				return fmt.Sprintf("must have %d to %d characters", minPassphrase, maxPassphrase)
			}
		case key == KeyJWTKey && len(value) < minJWTKeyLength:
			return fmt.Sprintf("must have at least %d bytes", minJWTKeyLength)
		case key != KeyJWTKey && !tokenForm.MatchString(value):
			return tokenRule
		}
		return ""
	}
}

// resolveICEServers sets p.ICEServers, and returns the mistakes.
func (p *Pair) resolveICEServers(s *secrets) field.ErrorList {
	var errs field.ErrorList
	for i, server := range p.Spec.MediaServer.ICEServers {
		told := ICEServer{URLs: slices.Clone(server.URLs)}
		if server.CredentialSecretRef == nil {
			p.ICEServers = append(p.ICEServers, told)
			continue
		}
		path := field.NewPath("spec", "mediaServer", "iceServers").Index(i).Child("credentialSecretRef")
		for key, to := range map[string]*string{
			v1alpha1.SecretKeyICEUsername: &told.Username, v1alpha1.SecretKeyICECredential: &told.Credential,
		} {
			value, made, err := s.value(lookup{p.Namespace, path, server.CredentialSecretRef, key, judgeCredential})
			switch {
			case err != nil:
				errs = append(errs, err)
			case made:
				s.missing = append(s.missing, fmt.Sprintf("%v: there is no Secret %q with the key %s", path, server.CredentialSecretRef.Name, key))
			}
			*to = value
		}
		if told.Username != "" && told.Credential != "" {
			p.ICEServers = append(p.ICEServers, told)
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return cmp.Compare(a.Detail, b.Detail) })
	slices.Sort(s.missing)
	return errs
}

// judgeCredential refuses what must not appear in a header.
func judgeCredential(value string) string {
	if len(value) > maxCredential || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Sprintf("must be at most %d characters of one line", maxCredential)
	}
	return ""
}

// tokenOr returns the chosen token, or else the kept one. If there is
// neither and made allows it, tokenOr returns a random token of 130 bits.
func tokenOr(chosen string, made bool, kept string, keptIsGenerated bool) (token string, generated bool) {
	switch {
	case chosen != "":
		return chosen, false
	case kept != "" && (made || !keptIsGenerated):
		return kept, keptIsGenerated
	case made:
		return rand.Text(), true
	}
	return "", false
}
