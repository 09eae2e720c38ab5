package keys

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

var keysNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestKeysAreMadeKeptAndRenewed(t *testing.T) {
	const publish, play, jwt = v1alpha1.SecretKeyPublishToken, v1alpha1.SecretKeyPlayToken, v1alpha1.SecretKeyJWTKey
	const cluster, cert, key = v1alpha1.SecretKeyClusterToken, v1alpha1.SecretKeyControlCert, v1alpha1.SecretKeyControlKey
	for _, test := range []struct {
		name string
		// before is the pair for which the Secret was made. now is the pair as it is now.
		before, now func(*v1alpha1.StreamPairSpec)
		// meanwhile changes the Secret in between; false: the Secret was deleted.
		meanwhile func(*corev1.Secret) bool
		at        time.Time
		holds     []string // afterwards
		renewed   []string // those that have another value than before
		unchanged bool
	}{
		{
			name:  "no Secret: what the pair needs is made",
			holds: []string{cluster, cert, key, publish}, renewed: []string{cluster, cert, key, publish},
			meanwhile: func(*corev1.Secret) bool { return false },
		},
		{
			name:  "all is well: nothing changes",
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name:  "the token generation was raised: the tokens only",
			now:   func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration++ },
			holds: []string{cluster, cert, key, publish}, renewed: []string{publish},
		},
		{
			name:   "the token generation was raised: the viewers' token too",
			before: func(s *v1alpha1.StreamPairSpec) { s.Playback.Auth = v1alpha1.PlaybackToken },
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.Auth, s.Publish.TokenGeneration = v1alpha1.PlaybackToken, 3
			},
			holds: []string{cluster, cert, key, play, publish}, renewed: []string{play, publish},
		},
		{
			name:   "the token generation was raised: the key that signs stays",
			before: func(s *v1alpha1.StreamPairSpec) { s.Playback.Auth = v1alpha1.PlaybackJWT },
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.Auth, s.Publish.TokenGeneration = v1alpha1.PlaybackJWT, 3
			},
			holds: []string{cluster, cert, key, jwt, publish}, renewed: []string{publish},
		},
		{
			name:  "viewers come to need a key",
			now:   func(s *v1alpha1.StreamPairSpec) { s.Playback.Auth = v1alpha1.PlaybackJWT },
			holds: []string{cluster, cert, key, jwt, publish}, renewed: []string{jwt},
		},
		{
			name: "viewers' tokens are signed by a key set",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.Auth, s.Playback.JWKS = v1alpha1.PlaybackJWT, &v1alpha1.JWKS{URL: "https://login.example.com/keys"}
			},
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name:  "publishers need none for now: theirs is kept for when they do",
			now:   func(s *v1alpha1.StreamPairSpec) { s.Publish.Auth = v1alpha1.PublishNone },
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "publishers need none for now, and the generation was raised: the old one is gone",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.Auth, s.Publish.TokenGeneration = v1alpha1.PublishNone, 1
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{publish},
		},
		{
			name:   "publishers never needed one: none is made",
			before: func(s *v1alpha1.StreamPairSpec) { s.Publish.Auth = v1alpha1.PublishNone },
			now:    func(s *v1alpha1.StreamPairSpec) { s.Publish.Auth = v1alpha1.PublishNone },
			holds:  []string{cluster, cert, key}, unchanged: true,
		},
		{
			name: "a Secret of the publishers' own has the viewers' key too",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: "own"}
				s.Playback.Auth = v1alpha1.PlaybackToken
			},
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "a Secret of the publishers' own is given up: the token is what it was",
			before: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: "own"}
			},
			meanwhile: func(s *corev1.Secret) bool {
				s.Data[publish] = []byte("typed-into-encoders")
				return true
			},
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "publishers have a Secret of their own, and the generation was raised: the old token is gone",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: "own"}
				s.Publish.TokenGeneration = 1
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{publish},
		},
		{
			name: "the pair names the generated Secret, as its ConfigMap shows it",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: objects.KeysSecretName("sunday")}
				s.Playback.TokenSecretRef = s.Publish.TokenSecretRef
				s.Playback.Auth = v1alpha1.PlaybackToken
			},
			holds: []string{cluster, cert, key, play, publish}, renewed: []string{play},
		},
		{
			name: "the pair names the generated Secret, and none is there",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: objects.KeysSecretName("sunday")}
			},
			meanwhile: func(*corev1.Secret) bool { return false },
			holds:     []string{cluster, cert, key, publish}, renewed: []string{cluster, cert, key, publish},
		},
		{
			name: "a Secret of the viewers' own leaves the publishers' generated",
			now: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.TokenSecretRef = &v1alpha1.SecretReference{Name: "own"}
				s.Playback.Auth = v1alpha1.PlaybackToken
			},
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "a missing and a spoilt key are made anew, others stay",
			meanwhile: func(s *corev1.Secret) bool {
				delete(s.Data, cluster)
				s.Data[publish] = []byte("has a space")
				return true
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{cluster, publish},
		},
		{
			name: "a token that somebody typed in is as good as ours",
			meanwhile: func(s *corev1.Secret) bool {
				s.Data[publish] = []byte("studio-a.2026")
				return true
			},
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "a short key that signs",
			before: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.Auth = v1alpha1.PlaybackJWT
			},
			now: func(s *v1alpha1.StreamPairSpec) { s.Playback.Auth = v1alpha1.PlaybackJWT },
			meanwhile: func(s *corev1.Secret) bool {
				s.Data[jwt] = s.Data[jwt][:31]
				return true
			},
			holds: []string{cluster, cert, key, jwt, publish}, renewed: []string{jwt},
		},
		{
			name: "a certificate without its key",
			meanwhile: func(s *corev1.Secret) bool {
				delete(s.Data, key)
				return true
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{cert, key},
		},
		{
			name: "a certificate of another pair",
			meanwhile: func(s *corev1.Secret) bool {
				other, err := New(keysNow, keysPair("monday", nil))
				if err != nil {
					panic(err)
				}
				s.Data[cert], s.Data[key] = other.ControlCert, other.ControlKey
				return true
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{cert, key},
		},
		{
			name:  "a certificate near its end",
			at:    keysNow.AddDate(10, 0, -89),
			holds: []string{cluster, cert, key, publish}, renewed: []string{cert, key},
		},
		{
			name:  "a certificate that is good for a while",
			at:    keysNow.AddDate(10, 0, -91),
			holds: []string{cluster, cert, key, publish}, unchanged: true,
		},
		{
			name: "a lost annotation costs nobody a token",
			now:  func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration = 5 },
			meanwhile: func(s *corev1.Secret) bool {
				s.Annotations = nil
				return true
			},
			holds: []string{cluster, cert, key, publish},
		},
		{
			name: "an emptied Secret",
			meanwhile: func(s *corev1.Secret) bool {
				s.Data = nil
				return true
			},
			holds: []string{cluster, cert, key, publish}, renewed: []string{cluster, cert, key, publish},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			existing := keysSecret(t, keysPair("sunday", test.before))
			if test.meanwhile != nil && !test.meanwhile(existing) {
				existing = nil
			}
			now := test.at
			if now.IsZero() {
				now = keysNow
			}
			pair := keysPair("sunday", test.now)
			keys, changed, err := Plan(existing, pair, now)
			if err != nil {
				t.Fatal(err)
			}
			data := keys.Data()
			if diff := cmp.Diff(test.holds, slices.Sorted(maps.Keys(data))); diff != "" {
				t.Errorf("holds -want +got:\n%s", diff)
			}
			var renewed []string
			for _, name := range test.holds {
				if existing == nil || string(data[name]) != string(existing.Data[name]) {
					renewed = append(renewed, name)
				}
			}
			if diff := cmp.Diff(test.renewed, renewed); diff != "" {
				t.Errorf("renewed -want +got:\n%s", diff)
			}
			if changed == test.unchanged {
				t.Errorf("changed: %v", changed)
			}

			// What was written must be found valid. Otherwise it would be written for ever.
			written := objectstest.Typed[corev1.Secret](t, Object(pair, keys))
			if again, changed, err := Plan(written, pair, now); err != nil || changed {
				t.Errorf("planned again: changed %v, error %v", changed, err)
			} else if diff := cmp.Diff(data, again.Data()); diff != "" {
				t.Errorf("planned again: -first +again:\n%s", diff)
			}
			if stale := Stale(written, pair, now); len(stale) > 0 {
				t.Errorf("stale as soon as made: %v", stale)
			}
		})
	}
}

func TestTokensGoIntoURLsAsTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		for token, least := range map[string]int{newToken(): 32, newJWTKey(): minJWTKeyLength} {
			if !tokenForm.MatchString(token) || len(token) < least || seen[token] {
				t.Fatalf("token %q", token)
			}
			seen[token] = true
		}
	}
}

func TestKeysShowInNoLog(t *testing.T) {
	keys, err := New(keysNow, keysPair("sunday", nil))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	all := string(text) + fmt.Sprintf("%v %+v %#v %s", keys, &keys, keys, keys)
	for name, value := range keys.Data() {
		if strings.Contains(all, string(value)) || strings.Contains(all, fmt.Sprintf("%d", value)) {
			t.Errorf("%s shows in %s", name, all)
		}
	}
}

// The command port's clients trust only this certificate, under the pair's server name.
func TestTheControlCertificateServesWhoPinsIt(t *testing.T) {
	pair := keysPair("sunday", nil)
	keys, err := New(time.Now(), pair)
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(time.Now(), pair)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(keys.ControlCert, keys.ControlKey)
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(certificate.Leaf.NotAfter); life < 3650*24*time.Hour || certificate.Leaf.IsCA {
		t.Errorf("valid for %v; an authority: %v", life, certificate.Leaf.IsCA)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	for _, test := range []struct {
		name, server string
		pinned       []byte
		accepted     bool
	}{
		{"pinned", objects.ControlServerName("live", "sunday"), keys.ControlCert, true},
		{"the pair's other certificate", objects.ControlServerName("live", "sunday"), other.ControlCert, false},
		{"another pair", objects.ControlServerName("live", "monday"), keys.ControlCert, false},
		{"another namespace", objects.ControlServerName("dead", "sunday"), keys.ControlCert, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(test.pinned)
			dialer := tls.Dialer{
				NetDialer: &net.Dialer{Timeout: 10 * time.Second},
				Config:    &tls.Config{RootCAs: pool, ServerName: test.server, MinVersion: tls.VersionTLS13},
			}
			conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != test.accepted {
				t.Errorf("accepted: %v (%v)", err == nil, err)
			}
		})
	}
}

func keysPair(name string, change func(*v1alpha1.StreamPairSpec)) *v1alpha1.StreamPair {
	pair := &v1alpha1.StreamPair{}
	pair.Name, pair.Namespace, pair.UID = name, "live", "uid"
	pair.Spec.Primary.StreamID, pair.Spec.Backup.StreamID = "primary", "backup"
	if change != nil {
		change(&pair.Spec)
	}
	return pair
}

// keysSecret returns a Secret that was made for the pair earlier.
func keysSecret(t *testing.T, pair *v1alpha1.StreamPair) *corev1.Secret {
	t.Helper()
	keys, err := New(keysNow, pair)
	if err != nil {
		t.Fatal(err)
	}
	return objectstest.Typed[corev1.Secret](t, Object(pair, keys))
}
