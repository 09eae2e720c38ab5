// Package keys decides which tokens, keys and certificates the generated Secret of a
// pair holds. It is pure, except that new keys are random. [Plan] is where to start.
package keys

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// Keys are the contents of a pair's generated Secret. They must not appear in logs.
type Keys struct {
	PublishToken string // encoders send it; empty if the pair has a Secret of its own
	PlayToken    string // viewers send it; only with playback.auth Token
	JWTKey       string // signs the viewers' tokens; only with playback.auth JWT
	ClusterToken string // the operator sends it to the pods, and the pods to each other
	ControlCert  []byte // PEM; the certificate of the command ports, pinned by clients
	ControlKey   []byte // PEM
}

// String returns a text without any secret.
func (Keys) String() string { return "(keys)" }

// GoString returns a text without any secret.
func (Keys) GoString() string { return "controllers.Keys{…}" }

// MarshalJSON returns a text without any secret.
func (Keys) MarshalJSON() ([]byte, error) { return []byte(`"(keys)"`), nil }

// New makes all keys that the pair needs.
func New(now time.Time, pair *v1alpha1.StreamPair) (Keys, error) {
	keys, _, err := Plan(nil, pair, now)
	return keys, err
}

// From returns the data of the generated Secret, whether valid or not.
func From(data map[string][]byte) Keys {
	return Keys{
		PublishToken: string(data[v1alpha1.SecretKeyPublishToken]),
		PlayToken:    string(data[v1alpha1.SecretKeyPlayToken]),
		JWTKey:       string(data[v1alpha1.SecretKeyJWTKey]),
		ClusterToken: string(data[v1alpha1.SecretKeyClusterToken]),
		ControlCert:  data[v1alpha1.SecretKeyControlCert],
		ControlKey:   data[v1alpha1.SecretKeyControlKey],
	}
}

// Data returns what [From] reads, without the empty keys.
func (k Keys) Data() map[string][]byte {
	data := map[string][]byte{}
	for name, value := range map[string][]byte{
		v1alpha1.SecretKeyPublishToken: []byte(k.PublishToken),
		v1alpha1.SecretKeyPlayToken:    []byte(k.PlayToken),
		v1alpha1.SecretKeyJWTKey:       []byte(k.JWTKey),
		v1alpha1.SecretKeyClusterToken: []byte(k.ClusterToken),
		v1alpha1.SecretKeyControlCert:  k.ControlCert,
		v1alpha1.SecretKeyControlKey:   k.ControlKey,
	} {
		if len(value) > 0 {
			data[name] = value
		}
	}
	return data
}

// Object returns the generated Secret. It is not part of [objects.Of], and is
// applied before those objects. No other object of the pair contains a secret.
func Object(pair *v1alpha1.StreamPair, keys Keys) objects.Object {
	secret := corev1ac.Secret(objects.KeysSecretName(pair.Name), pair.Namespace).
		WithType(corev1.SecretTypeOpaque).
		WithData(keys.Data()).
		WithAnnotations(map[string]string{
			v1alpha1.AnnotationTokenGeneration: TokenGeneration(pair),
			objects.AnnotationApplied:          appliedKeys,
		})
	return objects.New(pair, objects.KindSecret, secret, secret.ObjectMetaApplyConfiguration, objects.PairLabels(pair.Name))
}

// appliedKeys is the value of AnnotationApplied on the generated
// Secret. It is not a hash, because the hash would be one of the keys.
const appliedKeys = "keys"

// IsMarked reports whether an operator of this version has applied the
// Secret. A Secret without the mark would not be adopted after a restore.
func IsMarked(secret *corev1.Secret) bool {
	applied := secret.Annotations[objects.AnnotationApplied]
	return applied != "" && applied != objects.AppliedByAdoption
}

// Plan returns the keys that the pair's generated Secret must hold, and
// whether the Secret must be written. existing is nil if there is no Secret.
//
// Valid keys are kept, because encoders have them configured. A changed
// publish.TokenGeneration renews only the publish token and the play token. A key
// that is missing, or that no media server would accept, is made again. A key for
// which the pair names a Secret of its own is not made. An existing one stays: the
// pair may give up its own Secret, and encoders still have the generated token.
//
// Plan is pure except for random numbers. [Stale] makes the decision.
func Plan(existing *corev1.Secret, pair *v1alpha1.StreamPair, now time.Time) (keys Keys, changed bool, err error) {
	pair = objects.WithDefaults(pair)
	if existing != nil {
		keys = From(existing.Data)
		changed = existing.Annotations[v1alpha1.AnnotationTokenGeneration] != TokenGeneration(pair)
	}
	for _, name := range Stale(existing, pair, now) {
		changed = true
		switch name {
		case v1alpha1.SecretKeyPublishToken:
			keys.PublishToken = newToken()
		case v1alpha1.SecretKeyPlayToken:
			keys.PlayToken = newToken()
		case v1alpha1.SecretKeyJWTKey:
			keys.JWTKey = newJWTKey()
		case v1alpha1.SecretKeyClusterToken:
			keys.ClusterToken = newToken()
		case v1alpha1.SecretKeyControlCert:
			keys.ControlCert, keys.ControlKey, err = newControlCertificate(objects.ControlServerName(pair.Namespace, pair.Name), now)
			if err != nil {
				return Keys{}, false, fmt.Errorf("make the certificate of the command ports: %w", err)
			}
		}
	}
	return keys, changed, nil
}

// Stale returns the names of the keys that must be made, in the order of the Secret's
// documentation. Such a key is missing in existing, invalid for media servers, or of
// an earlier publish.TokenGeneration. The certificate's name stands for its key too.
func Stale(existing *corev1.Secret, pair *v1alpha1.StreamPair, now time.Time) []string {
	pair = objects.WithDefaults(pair)
	var has Keys
	renewed := false
	if existing != nil {
		has = From(existing.Data)
		// A Secret that lost its annotation keeps its tokens. That is not
		// enough reason to invalidate the tokens that encoders have configured.
		before, known := existing.Annotations[v1alpha1.AnnotationTokenGeneration]
		renewed = known && isNumber(before) && before != TokenGeneration(pair)
	}
	var stale []string
	needs := func(name string, need bool) {
		if need {
			stale = append(stale, name)
		}
	}
	// A token that the spec does not use now is left
	// alone, except that a renewal renews it too.
	token := func(asked bool, value string) bool {
		return asked && !tokenForm.MatchString(value) || renewed && (asked || value != "")
	}
	spec := pair.Spec
	needs(v1alpha1.SecretKeyPublishToken,
		token(ownsPublishKeys(pair) && spec.Publish.Auth == v1alpha1.PublishToken, has.PublishToken))
	needs(v1alpha1.SecretKeyPlayToken,
		token(ownsPlaybackKeys(pair) && spec.Playback.Auth == v1alpha1.PlaybackToken, has.PlayToken))
	needs(v1alpha1.SecretKeyJWTKey,
		needsJWTKey(pair) && len(has.JWTKey) < minJWTKeyLength)
	needs(v1alpha1.SecretKeyClusterToken, !tokenForm.MatchString(has.ClusterToken))
	needs(v1alpha1.SecretKeyControlCert,
		!isControlCertificate(has.ControlCert, has.ControlKey, objects.ControlServerName(pair.Namespace, pair.Name), now))
	return stale
}

// ownsPublishKeys reports whether the operator makes the publish
// token. A pair may also name the generated Secret as its own.
func ownsPublishKeys(pair *v1alpha1.StreamPair) bool {
	return isGenerated(pair, pair.Spec.Publish.TokenSecretRef)
}

// ownsPlaybackKeys reports whether the operator makes the viewers' key. If
// viewers have no Secret of their own, their key is in the publishers' Secret.
func ownsPlaybackKeys(pair *v1alpha1.StreamPair) bool {
	return isGenerated(pair, cmp.Or(pair.Spec.Playback.TokenSecretRef, pair.Spec.Publish.TokenSecretRef))
}

// needsJWTKey reports whether the operator makes the key of the viewers' JSON Web Tokens.
func needsJWTKey(pair *v1alpha1.StreamPair) bool {
	return ownsPlaybackKeys(pair) && pair.Spec.Playback.Auth == v1alpha1.PlaybackJWT && pair.Spec.Playback.JWKS == nil
}

// isGenerated reports whether ref refers to the pair's generated Secret.
func isGenerated(pair *v1alpha1.StreamPair, ref *v1alpha1.SecretReference) bool {
	return ref == nil || ref.Name == objects.KeysSecretName(pair.Name)
}

// tokenForm and minJWTKeyLength are what a media server accepts. Tokens appear unescaped in
// URLs and RTMP stream keys. HS256 needs a key as long as its hash (RFC 7518, section 3.2).
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,256}$`)

const minJWTKeyLength = 32

// newToken returns 128 random bits as 32 hexadecimal digits. The
// digits need no escaping, and a double click selects all of them.
func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends instead
	return hex.EncodeToString(b[:])
}

// newJWTKey returns 256 random bits as text, which
// can be pasted into a program that signs tokens.
func newJWTKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// TokenGeneration returns the value of AnnotationTokenGeneration that the pair asks for.
func TokenGeneration(pair *v1alpha1.StreamPair) string {
	return strconv.FormatInt(pair.Spec.Publish.TokenGeneration, 10)
}

// IsLater reports whether a Secret's token generation
// is later than the one that the pair asks for.
func IsLater(generation string, pair *v1alpha1.StreamPair) bool {
	n, err := strconv.ParseInt(generation, 10, 64)
	return err == nil && n > pair.Spec.Publish.TokenGeneration
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// Fault returns what keeps the Secret from being adopted, such as a missing or
// malformed key; empty: nothing does. An expired certificate, or one for another
// namespace, is no fault: the certificate is made again, and nobody has it configured.
func Fault(pair *v1alpha1.StreamPair, secret *corev1.Secret) string {
	if secret.Immutable != nil && *secret.Immutable {
		return "it is immutable"
	}
	if secret.Type != corev1.SecretTypeOpaque && secret.Type != "" {
		return fmt.Sprintf("it is of type %s", secret.Type)
	}
	keys := From(secret.Data)
	spec := objects.WithDefaults(pair).Spec
	for _, one := range []struct {
		name         string
		present, fit bool
		needed       bool
	}{
		{v1alpha1.SecretKeyPublishToken, keys.PublishToken != "", tokenForm.MatchString(keys.PublishToken),
			ownsPublishKeys(pair) && spec.Publish.Auth == v1alpha1.PublishToken},
		{v1alpha1.SecretKeyPlayToken, keys.PlayToken != "", tokenForm.MatchString(keys.PlayToken),
			ownsPlaybackKeys(pair) && spec.Playback.Auth == v1alpha1.PlaybackToken},
		{v1alpha1.SecretKeyJWTKey, keys.JWTKey != "", len(keys.JWTKey) >= minJWTKeyLength,
			needsJWTKey(pair)},
		{v1alpha1.SecretKeyClusterToken, keys.ClusterToken != "", tokenForm.MatchString(keys.ClusterToken), true},
		{v1alpha1.SecretKeyControlCert, len(keys.ControlCert) > 0, isKeyPair(keys.ControlCert, keys.ControlKey), true},
	} {
		switch {
		case !one.present && one.needed:
			return fmt.Sprintf("its key %s is missing", one.name)
		case one.present && !one.fit:
			return fmt.Sprintf("its key %s is malformed", one.name)
		}
	}
	return ""
}
