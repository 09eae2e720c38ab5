package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/access"
)

const head = "apiVersion: media.streampair.dev/v1alpha1\nkind: StreamPair\n"

const smallest = head + `
metadata: {name: demo}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
`

func TestSmallestManifestGetsTheDefaults(t *testing.T) {
	m, err := ParseManifest(Manifest{}, Source{"pair.yaml", []byte(smallest)})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Pairs) != 1 {
		t.Fatalf("%d pairs, want 1", len(m.Pairs))
	}
	pair := m.Pairs[0]
	want := v1alpha1.StreamPairSpec{
		App:     "live",
		Primary: v1alpha1.Leg{StreamID: "primary"},
		Backup:  v1alpha1.Leg{StreamID: "backup"},
		Failover: v1alpha1.Failover{
			Mode: "Sticky", Select: "Auto", InputLossMilliseconds: 1000, RecoverySeconds: new(int32(10)),
		},
		Playback: v1alpha1.Playback{Order: []v1alpha1.PlaybackMethod{"WebRTC", "HLS"}, Auth: "None", LegacyClients: "Pair"},
		Publish:  v1alpha1.Publish{Auth: "Token"},
		Exposure: v1alpha1.Exposure{
			HTTP:   v1alpha1.HTTPExposure{ServiceExposure: v1alpha1.ServiceExposure{Type: "ClusterIP"}},
			RTMP:   v1alpha1.ServiceExposure{Type: "ClusterIP"},
			WebRTC: v1alpha1.WebRTCExposure{Type: "ClusterIP"},
		},
		MediaServer: v1alpha1.MediaServer{
			AntiAffinity: "Preferred", UpdatePolicy: "WhenIdle",
			DrainTimeoutSeconds: new(int32(30)), NodeLossTolerationSeconds: new(int32(30)),
		},
	}
	if diff := cmp.Diff(want, pair.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if !pair.Keys.GeneratedPublishToken || !tokenForm.MatchString(pair.Keys.PublishToken) {
		t.Errorf("publish token %q, generated %v; want one made up", pair.Keys.PublishToken, pair.Keys.GeneratedPublishToken)
	}
	if pair.Keys.PlayToken != "" {
		t.Errorf("play token %q although everybody may watch", pair.Keys.PlayToken)
	}
}

func TestMistakesHaveOneLineEachWithTheFieldPath(t *testing.T) {
	tests := []struct {
		name, manifest string
		want           []string
	}{
		{
			name:     "nothing at all",
			manifest: "# only a comment\n---\n",
			want:     []string{`f.yaml: has no StreamPair`},
		},
		{
			name:     "no YAML: the line of the file",
			manifest: smallest + "---\nkind: [\n",
			want:     []string{`f.yaml: yaml: line 9: did not find expected node content`},
		},
		{
			name:     "not a mapping",
			manifest: "- a\n- b\n",
			want:     []string{`f.yaml, document 1: must be a mapping with apiVersion, kind, metadata and spec`},
		},
		{
			name:     "a field twice",
			manifest: smallest + "spec: {}\n",
			want:     []string{`f.yaml: yaml: unmarshal errors: line 8: key "spec" already set in map`},
		},
		{
			name:     "another kind, no kind, another version",
			manifest: "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\nmetadata: {name: q}\n---\napiVersion: media.streampair.dev/v1\nkind: StreamPair\nmetadata: {name: demo}\n",
			want: []string{
				`f.yaml, Pod "p": kind: Unsupported value: "Pod": supported values: "StreamPair", "Secret"`,
				`f.yaml, document 2: kind: Required value: StreamPair or Secret`,
				`f.yaml, StreamPair "demo": apiVersion: Unsupported value: "media.streampair.dev/v1": supported values: "media.streampair.dev/v1alpha1"`,
			},
		},
		{
			name:     "unknown fields, whatever their capitals",
			manifest: head + "metadata: {name: demo}\nspec:\n  primary: {streamId: a}\n  backup: {streamID: b}\n  failover: {inputLoss: 3}\n",
			want: []string{
				`f.yaml, StreamPair "demo": spec.failover.inputLoss: Unknown field`,
				`f.yaml, StreamPair "demo": spec.primary.streamId: Unknown field`,
				`f.yaml, StreamPair "demo": spec.primary.streamID: Required value: names the leg's stream`,
			},
		},
		{
			name:     "wrong types and a wrong value, all of them",
			manifest: head + "metadata: {name: demo}\nspec:\n  primary: {streamID: 1}\n  backup: {streamID: b}\n  failover: {recoverySeconds: ten, inputLossMilliseconds: 1.5}\n  paused: maybe\n  playback: {order: [WebRTC, 7]}\n  publish: Token\n  mediaServer: {drainTimeoutSeconds: 9999, tolerations: {}, resources: {limits: {cpu: lots}}}\n",
			want: []string{
				`f.yaml, StreamPair "demo": spec.failover.inputLossMilliseconds: Invalid value: 1.5: must be a whole number`,
				`f.yaml, StreamPair "demo": spec.failover.recoverySeconds: Invalid value: "ten": must be a whole number`,
				`f.yaml, StreamPair "demo": spec.mediaServer.resources.limits.cpu: Invalid value: "lots": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
				`f.yaml, StreamPair "demo": spec.mediaServer.tolerations: Invalid value: {}: must be a list`,
				`f.yaml, StreamPair "demo": spec.paused: Invalid value: "maybe": must be true or false`,
				`f.yaml, StreamPair "demo": spec.playback.order[1]: Invalid value: 7: must be text; write it in quotes`,
				`f.yaml, StreamPair "demo": spec.primary.streamID: Invalid value: 1: must be text; write it in quotes`,
				`f.yaml, StreamPair "demo": spec.publish: Invalid value: "Token": must be a mapping of fields`,
				`f.yaml, StreamPair "demo": spec.mediaServer.drainTimeoutSeconds: Invalid value: 9999: must be from 0 to 3600`,
			},
		},
		{
			name:     "wrong values go on after each other",
			manifest: head + "metadata: {name: Demo}\nspec:\n  app: a/b\n  primary: {streamID: same}\n  backup: {streamID: same}\n  failover: {mode: Never, inputLossMilliseconds: 50}\n",
			want: []string{
				`f.yaml, StreamPair "Demo": metadata.name: Invalid value: "Demo": must be lower case letters, digits and '-', starting with a letter, ending with a letter or digit`,
				`f.yaml, StreamPair "Demo": spec.app: Invalid value: "a/b": must be 1 to 64 letters, digits, '.', '_' and '-', starting with a letter or digit`,
				`f.yaml, StreamPair "Demo": spec.backup.streamID: Invalid value: "same": must differ from spec.primary.streamID`,
				`f.yaml, StreamPair "Demo": spec.failover.mode: Unsupported value: "Never": supported values: "Sticky", "PreferPrimary", "Manual"`,
				`f.yaml, StreamPair "Demo": spec.failover.inputLossMilliseconds: Invalid value: 50: must be from 100 to 60000`,
			},
		},
		{
			name:     "the same pair twice, and another pair of the same streams",
			manifest: smallest + "---\n" + smallest + "---\n" + strings.Replace(smallest, "demo", "other", 1),
			want: []string{
				`f.yaml, StreamPair "demo": metadata.name: Duplicate value: "demo": also in f.yaml, StreamPair "demo"`,
				`f.yaml, StreamPair "demo": spec: Duplicate value: app "live", primary "primary", backup "backup": also in f.yaml, StreamPair "demo"`,
				`f.yaml, StreamPair "other": spec: Duplicate value: app "live", primary "primary", backup "backup": also in f.yaml, StreamPair "demo"`,
			},
		},
		{
			name:     "JWT without a key",
			manifest: smallest + "  playback: {auth: JWT}\n",
			want:     []string{`f.yaml, StreamPair "demo": spec.playback.tokenSecretRef: Required value: auth JWT needs a Secret with the key jwtKey`},
		},
		{
			name:     "more items than can be right",
			manifest: smallest + "  playback: {order: [" + strings.Repeat("WebRTC,", 5000) + "HLS]}\n",
			want:     []string{`f.yaml, StreamPair "demo": spec.playback.order: Too many: 5001: must have at most 2 items`},
		},
		{
			name:     "a list of lists where text is meant, however deep",
			manifest: smallest + "  playback: {order: [" + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "]}\n",
			want: []string{
				(`f.yaml, StreamPair "demo": spec.playback.order[0]: Invalid value: ` + strings.Repeat("[", 5000))[:maxMistakeBytes] + "…",
			},
		},
		{
			name:     "too long",
			manifest: smallest + "#" + strings.Repeat(" ", MaxManifestBytes),
			want:     []string{`f.yaml: longer than 1048576 bytes`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseManifest(Manifest{}, Source{"f.yaml", []byte(tt.manifest)})
			var mistakes Mistakes
			if !errors.As(err, &mistakes) {
				t.Fatalf("error %v, want Mistakes", err)
			}
			if diff := cmp.Diff(tt.want, []string(mistakes)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

// secured returns a pair that takes its keys from the Secret named ref.
func secured(ref, playback, secret string) string {
	return smallest + fmt.Sprintf("  publish: {auth: Token, tokenSecretRef: {name: %s}}\n  playback: {auth: %s}\n", ref, playback) +
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n" + secret
}

func TestKeysComeFromTheSecret(t *testing.T) {
	longKey := strings.Repeat("k", 32)
	tests := []struct {
		name, manifest string
		want           Keys
		mistakes       Mistakes
	}{
		{
			name:     "publish and play token",
			manifest: secured("keys", "Token", "stringData: {publishToken: publish-1, playToken: watch-it}\n"),
			want:     Keys{PublishToken: "publish-1", PlayToken: "watch-it"},
		},
		{
			name:     "in base64, as kubectl shows it",
			manifest: secured("keys", "None", "type: Opaque\ndata: {publishToken: cHVibGlzaC0x}\n"),
			want:     Keys{PublishToken: "publish-1"},
		},
		{
			name:     "key for JWT",
			manifest: secured("keys", "JWT", "stringData: {publishToken: publish-1, jwtKey: "+longKey+"}\n"),
			want:     Keys{PublishToken: "publish-1", JWTKey: longKey},
		},
		{
			name: "playback has a Secret of its own",
			manifest: smallest + "  publish: {auth: None}\n  playback: {auth: Token, tokenSecretRef: {name: watch}}\n" +
				"---\napiVersion: v1\nkind: Secret\nmetadata: {name: watch}\nstringData: {playToken: watch-it}\n",
			want: Keys{PlayToken: "watch-it"},
		},
		{
			name:     "no such Secret",
			manifest: secured("kees", "None", "stringData: {publishToken: publish-1}\n"),
			mistakes: Mistakes{`f.yaml, StreamPair "demo": spec.publish.tokenSecretRef.name: Not found: "kees"`},
		},
		{
			name:     "no such key",
			manifest: secured("keys", "Token", "stringData: {publishToken: publish-1}\n"),
			mistakes: Mistakes{`f.yaml, StreamPair "demo": spec.publish.tokenSecretRef: Required value: the Secret "keys" has no playToken`},
		},
		{
			name:     "a mistake shows no token",
			manifest: secured("keys", "JWT", "stringData: {publishToken: pub+lish&me, jwtKey: short}\n"),
			mistakes: Mistakes{
				`f.yaml, StreamPair "demo": spec.publish.tokenSecretRef: Forbidden: publishToken of the Secret "keys" ` + tokenRule,
				`f.yaml, StreamPair "demo": spec.publish.tokenSecretRef: Forbidden: jwtKey of the Secret "keys" must have at least 32 bytes`,
			},
		},
		{
			name:     "a token that YAML takes for a number",
			manifest: secured("keys", "None", "stringData: {publishToken: 12345678}\ndata: {playToken: '%%'}\n"),
			mistakes: Mistakes{
				`f.yaml, Secret "keys": data.playToken: Invalid value: "(hidden)": illegal base64 data at input byte 0`,
				`f.yaml, Secret "keys": stringData.publishToken: Invalid value: "(hidden)": must be text; write it in quotes`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseManifest(Manifest{}, Source{"f.yaml", []byte(tt.manifest)})
			var mistakes Mistakes
			errors.As(err, &mistakes)
			if diff := cmp.Diff(tt.mistakes, mistakes); diff != "" {
				t.Fatalf("mistakes (-want +got):\n%s", diff)
			}
			if err == nil && m.Pairs[0].Keys != tt.want {
				t.Errorf("keys %#v %v, want %v", m.Pairs[0].Keys.PublishToken, m.Pairs[0].Keys.PlayToken, tt.want)
			}
		})
	}
}

func TestASecretInAnotherFileIsFound(t *testing.T) {
	pair, secret, _ := strings.Cut(secured("keys", "None", "stringData: {publishToken: publish-1}\n"), "---\n")
	m, err := ParseManifest(Manifest{}, Source{"keys.yaml", []byte(secret)}, Source{"pair.yaml", []byte(pair)})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Pairs[0].Keys.PublishToken; got != "publish-1" {
		t.Errorf("publish token %q, want publish-1", got)
	}
}

func TestAGeneratedTokenOutlivesANewManifest(t *testing.T) {
	parse := func(previous Manifest, text string) Manifest {
		t.Helper()
		m, err := ParseManifest(previous, Source{"pair.yaml", []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := parse(Manifest{}, smallest+"  playback: {auth: Token}\n")
	same := parse(first, smallest+"  playback: {auth: Token}\n  failover: {mode: PreferPrimary}\n")
	if first.Pairs[0].Keys != same.Pairs[0].Keys {
		t.Error("the tokens changed although nobody asked")
	}
	renewed := parse(same, smallest+"  playback: {auth: Token}\n  publish: {tokenGeneration: 1}\n")
	if a, b := same.Pairs[0].Keys, renewed.Pairs[0].Keys; a.PublishToken == b.PublishToken || a.PlayToken == b.PlayToken {
		t.Error("the tokens did not change with tokenGeneration")
	}
	if a, b := first.Pairs[0].Keys, parse(Manifest{}, smallest).Pairs[0].Keys; a.PublishToken == b.PublishToken {
		t.Error("two servers made up the same token")
	}
}

func TestChosenKeysOutliveAManifestWithoutSecrets(t *testing.T) {
	whole := secured("keys", "JWT", "stringData: {publishToken: publish-1, jwtKey: "+strings.Repeat("k", 32)+"}\n")
	pairAlone, _, _ := strings.Cut(whole, "---\n")
	first, err := ParseManifest(Manifest{}, Source{"f.yaml", []byte(whole)})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the same": pairAlone,
		"tokenGeneration is about generated tokens": strings.Replace(pairAlone, "auth: Token", "auth: Token, tokenGeneration: 7", 1),
	} {
		m, err := ParseManifest(first, Source{"f.yaml", []byte(text)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.Pairs[0].Keys != first.Pairs[0].Keys {
			t.Errorf("%s: the keys changed", name)
		}
	}
	if _, err := ParseManifest(first, Source{"f.yaml", []byte(strings.Replace(pairAlone, "name: keys", "name: others", 1))}); err == nil {
		t.Error("the JWT key of one Secret was taken for that of another")
	}
}

func TestKeysShowInNoLog(t *testing.T) {
	pair := Pair{Keys: Keys{PublishToken: "hush-hush", PlayToken: "hush-hush", JWTKey: "hush-hush"}}
	asJSON, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(pair), fmt.Sprintf("%+v", pair), fmt.Sprintf("%#v", pair.Keys), string(asJSON)} {
		if strings.Contains(text, "hush-hush") {
			t.Errorf("shows a key: %s", text)
		}
	}
}

func TestAccessHasThePairs(t *testing.T) {
	m, err := ParseManifest(Manifest{}, Source{"f.yaml", []byte(secured("keys", "Token", "stringData: {publishToken: publish-1, playToken: watch-it}\n"))})
	if err != nil {
		t.Fatal(err)
	}
	want := []access.Pair{{
		Name: "demo", App: "live", PrimaryID: "primary", BackupID: "backup",
		Publish: "Token", PublishToken: "publish-1", Playback: "Token", PlayToken: "watch-it",
	}}
	if diff := cmp.Diff(want, m.Access()); diff != "" {
		t.Errorf("Access (-want +got):\n%s", diff)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(smallest))
	f.Add([]byte(secured("keys", "JWT", "stringData: {publishToken: publish-1}\n")))
	f.Add([]byte(head + "spec: {primary: [], failover: {recoverySeconds: 1e3}}\n--- # next\n---x\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := ParseManifest(Manifest{}, Source{"f.yaml", content})
		if err != nil {
			return
		}
		for _, p := range m.Pairs {
			if errs := p.Validate(); len(errs) > 0 {
				t.Errorf("accepted in spite of %v", errs)
			}
			if p.Spec.Publish.Auth == v1alpha1.PublishToken && p.Keys.PublishToken == "" {
				t.Error("asks for a publish token and has none")
			}
		}
	})
}
