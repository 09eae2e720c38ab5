package controllers

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
)

// Keys are what the generated Secret of a pair holds. They show in no log.
type Keys struct {
	PublishToken string // encoders show it; empty where the pair has a Secret of its own
	PlayToken    string // viewers show it; only with playback.auth Token
	JWTKey       string // signs the viewers' tokens; only with playback.auth JWT
	ClusterToken string // the operator shows it to the pods, and they to each other
	ControlCert  []byte // PEM; the certificate of the command ports, pinned by clients
	ControlKey   []byte // PEM
}

// String returns no secret.
func (Keys) String() string { return "(keys)" }

// GoString returns no secret.
func (Keys) GoString() string { return "controllers.Keys{…}" }

// MarshalJSON returns no secret.
func (Keys) MarshalJSON() ([]byte, error) { return []byte(`"(keys)"`), nil }

// NewKeys makes every key that the pair needs.
func NewKeys(now time.Time, pair *v1alpha1.StreamPair) (Keys, error) {
	keys, _, err := KeysPlan(nil, pair, now)
	return keys, err
}

// KeysFrom reads the data of the generated Secret, right or wrong.
func KeysFrom(data map[string][]byte) Keys {
	return Keys{
		PublishToken: string(data[v1alpha1.SecretKeyPublishToken]),
		PlayToken:    string(data[v1alpha1.SecretKeyPlayToken]),
		JWTKey:       string(data[v1alpha1.SecretKeyJWTKey]),
		ClusterToken: string(data[v1alpha1.SecretKeyClusterToken]),
		ControlCert:  data[v1alpha1.SecretKeyControlCert],
		ControlKey:   data[v1alpha1.SecretKeyControlKey],
	}
}

// Data is what [KeysFrom] reads, without the keys that are empty.
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

// KeysObject is the generated Secret. It stands apart from [Objects], and is to be applied
// before them: nothing else of the pair holds a secret.
func KeysObject(pair *v1alpha1.StreamPair, keys Keys) Object {
	secret := corev1ac.Secret(KeysSecretName(pair.Name), pair.Namespace).
		WithType(corev1.SecretTypeOpaque).
		WithData(keys.Data()).
		WithAnnotations(map[string]string{v1alpha1.AnnotationTokenGeneration: tokenGeneration(pair)})
	return owned(pair, KindSecret, secret, secret.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// KeysPlan returns the keys that the pair's generated Secret must hold, and whether that
// means writing it. existing is nil when there is no Secret.
//
// What is there and good is kept: encoders have it typed in. A changed
// publish.tokenGeneration renews the publish and the play token, and nothing else. A key
// that is missing, or that no media server would take, is made anew. A key for which the
// pair names a Secret of its own is not made, and one that is there stays: the pair may give
// its own Secret up, and encoders still have the generated token.
//
// Random numbers apart it is pure: [StaleKeys] is its decision.
func KeysPlan(existing *corev1.Secret, pair *v1alpha1.StreamPair, now time.Time) (keys Keys, changed bool, err error) {
	pair = withDefaults(pair)
	if existing != nil {
		keys = KeysFrom(existing.Data)
		changed = existing.Annotations[v1alpha1.AnnotationTokenGeneration] != tokenGeneration(pair)
	}
	for _, name := range StaleKeys(existing, pair, now) {
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
			keys.ControlCert, keys.ControlKey, err = newControlCertificate(ControlServerName(pair.Namespace, pair.Name), now)
			if err != nil {
				return Keys{}, false, fmt.Errorf("make the certificate of the command ports: %w", err)
			}
		}
	}
	return keys, changed, nil
}

// StaleKeys returns the names of the keys to be made, in the order of the Secret's
// documentation: those that existing lacks, holds in a form that no media server takes, or
// holds from an earlier publish.tokenGeneration. The certificate stands for its key too.
func StaleKeys(existing *corev1.Secret, pair *v1alpha1.StreamPair, now time.Time) []string {
	pair = withDefaults(pair)
	var has Keys
	renewed := false
	if existing != nil {
		has = KeysFrom(existing.Data)
		// A Secret that lost its annotation keeps its tokens: taking away what encoders
		// have typed in needs better grounds.
		before, known := existing.Annotations[v1alpha1.AnnotationTokenGeneration]
		renewed = known && isNumber(before) && before != tokenGeneration(pair)
	}
	var stale []string
	needs := func(name string, need bool) {
		if need {
			stale = append(stale, name)
		}
	}
	// A token that is not asked for now is left alone, but not past a renewal.
	token := func(asked bool, value string) bool {
		return asked && !tokenForm.MatchString(value) || renewed && (asked || value != "")
	}
	spec := pair.Spec
	needs(v1alpha1.SecretKeyPublishToken,
		token(ownsPublishKeys(pair) && spec.Publish.Auth == v1alpha1.PublishToken, has.PublishToken))
	needs(v1alpha1.SecretKeyPlayToken,
		token(ownsPlaybackKeys(pair) && spec.Playback.Auth == v1alpha1.PlaybackToken, has.PlayToken))
	needs(v1alpha1.SecretKeyJWTKey,
		ownsPlaybackKeys(pair) && spec.Playback.Auth == v1alpha1.PlaybackJWT && len(has.JWTKey) < minJWTKeyLength)
	needs(v1alpha1.SecretKeyClusterToken, !tokenForm.MatchString(has.ClusterToken))
	needs(v1alpha1.SecretKeyControlCert,
		!isControlCertificate(has.ControlCert, has.ControlKey, ControlServerName(pair.Namespace, pair.Name), now))
	return stale
}

// ownsPublishKeys reports whether the publish token is the operator's to make. A pair may name
// the generated Secret as its own.
func ownsPublishKeys(pair *v1alpha1.StreamPair) bool {
	return isGenerated(pair, pair.Spec.Publish.TokenSecretRef)
}

// ownsPlaybackKeys reports whether the viewers' key is the operator's to make. Without a
// Secret of their own they are looked for in the publishers'.
func ownsPlaybackKeys(pair *v1alpha1.StreamPair) bool {
	return isGenerated(pair, cmp.Or(pair.Spec.Playback.TokenSecretRef, pair.Spec.Publish.TokenSecretRef))
}

// isGenerated reports whether ref leads to the generated Secret of the pair.
func isGenerated(pair *v1alpha1.StreamPair, ref *v1alpha1.SecretReference) bool {
	return ref == nil || ref.Name == KeysSecretName(pair.Name)
}

// What a media server takes: tokens stand in URLs and in RTMP stream keys as they are, and
// HS256 wants a key as long as its hash (RFC 7518, section 3.2).
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,256}$`)

const minJWTKeyLength = 32

// newToken returns 128 random bits as 32 hexadecimal digits: nothing in it needs escaping,
// and a double click selects all of it.
func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends instead
	return hex.EncodeToString(b[:])
}

// newJWTKey returns 256 random bits as text, so that it can be pasted into what signs.
func newJWTKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func tokenGeneration(pair *v1alpha1.StreamPair) string {
	return strconv.FormatInt(pair.Spec.Publish.TokenGeneration, 10)
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}
