package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streampair/streampair/api/v1alpha1"
)

// secretFiles writes a folder of Secrets. The keys of
// files are name/key, and the values are contents.
func secretFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestLoadAMediaPod(t *testing.T) {
	folder := secretFiles(t, map[string]string{"keys/control.crt": "c", "keys/control.key": "k", "keys/clusterToken": "t"})
	at := func(name string) string { return filepath.Join(folder, "keys", name) }
	control := ControlFiles{TLSCert: at("control.crt"), TLSKey: at("control.key"), TokenFile: at("clusterToken")}
	controlArgs := []string{"--control-tls-cert", control.TLSCert, "--control-tls-key", control.TLSKey, "--control-token-file", control.TokenFile}
	tests := []struct {
		name   string
		args   []string
		env    []string
		change func(*Config)
	}{
		{
			name: "all of it",
			args: append([]string{
				"--role", "backup", "--secrets", folder, "--control-address", ":9091", "--drain-timeout", "30s",
				"--peer", "http://sunday-primary-pods.live.svc:5080/", "--tls-cert", "/none/tls.crt", "--tls-key", "/none/tls.key",
			}, controlArgs...),
			env: []string{"POD_NAME=sunday-backup-7c", "NODE_NAME=node-a", "POD_IP=::ffff:10.0.0.7"},
			change: func(c *Config) {
				c.Role, c.Control, c.ControlAddress = v1alpha1.RoleBackup, control, ":9091"
				c.HealthAddress, c.MonitorAddress = ":9093", "127.0.0.1:9094"
				c.Files = Files{Secrets: folder, Lenient: true}
				c.Peer, c.DrainTimeout, c.RelayAddress = "http://sunday-primary-pods.live.svc:5080", 30*time.Second, ":9092"
				c.TLSCert, c.TLSKey = "/none/tls.crt", "/none/tls.key"
				c.Pod = Pod{Name: "sunday-backup-7c", Node: "node-a", IP: netip.MustParseAddr("10.0.0.7")}
			},
		},
		{
			name: "by the environment",
			env: []string{
				"ROLE=Primary", "SECRETS=" + folder, "DRAIN_TIMEOUT=1m", "PEER=https://10.0.0.8:5443", "CONTROL_ADDRESS=0.0.0.0:9091",
				"CONTROL_TLS_CERT=" + control.TLSCert, "CONTROL_TLS_KEY=" + control.TLSKey, "CONTROL_TOKEN_FILE=" + control.TokenFile, "POD_IP=",
			},
			change: func(c *Config) {
				c.Role, c.Control, c.ControlAddress = v1alpha1.RolePrimary, control, "0.0.0.0:9091"
				c.HealthAddress = ":9093"
				c.Files = Files{Secrets: folder, Lenient: true}
				c.Peer, c.DrainTimeout, c.RelayAddress = "https://10.0.0.8:5443", time.Minute, ":9092"
			},
		},
		{
			name: "by hand, with the peer's own certificate",
			args: append([]string{"--role=primary", "--peer=https://10.0.0.8:9092", "--peer-tls-cert", control.TLSKey, "--relay-address=10.0.0.7:19092"}, controlArgs...),
			change: func(c *Config) {
				c.Role, c.Control, c.Peer = v1alpha1.RolePrimary, control, "https://10.0.0.8:9092"
				c.HealthAddress = ":9093"
				c.Files.Lenient, c.PeerTLSCert, c.RelayAddress = true, control.TLSKey, "10.0.0.7:19092"
			},
		},
		{
			name: "by hand, in clear because that is asked for",
			args: append([]string{"--role=primary", "--peer=http://10.0.0.8:5080", "--peer-insecure"}, controlArgs...),
			change: func(c *Config) {
				c.Role, c.Control, c.Peer, c.PeerInsecure = v1alpha1.RolePrimary, control, "http://10.0.0.8:5080", true
				c.HealthAddress = ":9093"
				c.Files.Lenient = true
			},
		},
		{
			name: "without a relay port",
			args: append([]string{"--role=primary", "--relay-address="}, controlArgs...),
			change: func(c *Config) {
				c.Role, c.Control, c.Files.Lenient = v1alpha1.RolePrimary, control, true
				c.HealthAddress = ":9093"
			},
		},
		{
			name: "a health port elsewhere, and none",
			args: []string{"--role", "backup", "--health-address="},
			change: func(c *Config) {
				c.Role, c.Files.Lenient = v1alpha1.RoleBackup, true
			},
		},
		{
			name: "a monitor port elsewhere, and no health port",
			args: []string{"--role", "backup", "--health-address=", "--monitor-address=[::1]:9000"},
			change: func(c *Config) {
				c.Role, c.Files.Lenient = v1alpha1.RoleBackup, true
				c.MonitorAddress = "[::1]:9000"
			},
		},
		{
			name:   "a command port with a token on loopback",
			args:   controlArgs,
			change: func(c *Config) { c.Control = control },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			tt.change(&want)
			if want.Role != "" {
				want.SRTAddress = "" // the operator switches SRT on
			}
			got, err := Load(tt.args, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadTellsEveryMistakeOfAMediaPod(t *testing.T) {
	folder := secretFiles(t, map[string]string{"token": "t"})
	file := filepath.Join(folder, "token")
	none := filepath.Join(folder, "none")
	peering := func(args ...string) []string {
		return append([]string{"--role=primary", "--control-tls-cert", file, "--control-tls-key", file, "--control-token-file", file}, args...)
	}
	missing := func(flag string) string { return flag + ": stat " + none + ": no such file or directory" }
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		want Mistakes
	}{
		{"another role", []string{"--role", "third"}, nil, Mistakes{`--role: "third" must be primary or backup`}},
		{"no folder", []string{"--secrets", none}, nil, Mistakes{missing("--secrets")}},
		{"a file for a folder", nil, []string{"SECRETS=" + file}, Mistakes{"$SECRETS: " + file + " is no folder"}},
		{"a part of the command port's files", []string{"--control-token-file", file}, nil, Mistakes{
			"--control-tls-cert, --control-tls-key, --control-token-file: give all three or none",
		}},
		{
			"command port's files that do not exist, even in a pod",
			[]string{"--role=primary", "--control-token-file", file, "--control-tls-cert", none, "--control-tls-key", none}, nil,
			Mistakes{missing("--control-tls-cert"), missing("--control-tls-key")},
		},
		{"a mistyped certificate of a server that is run by hand", []string{"--tls-cert", none, "--tls-key", file}, nil, Mistakes{missing("--tls-cert")}},
		{"a peer of a server with both legs", []string{"--peer", "https://10.0.0.8:9092"}, nil, Mistakes{
			"--peer: needs --role, --control-tls-cert, --control-tls-key and --control-token-file",
		}},
		{"no URL", []string{"--peer", "10.0.0.8:5080"}, nil, Mistakes{`--peer: "10.0.0.8:5080" must be https://host:port`}},
		{"a URL with more", nil, []string{"PEER=http://user:secret@10.0.0.8:5080/live"}, Mistakes{
			`$PEER: "http://user:xxxxx@10.0.0.8:5080/live" must be https://host:port`,
		}},
		{"a peer in clear of a server that is run by hand", peering("--peer", "http://10.0.0.8:5080"), nil, Mistakes{
			`--peer: "http://10.0.0.8:5080" sends the streams and a token in clear, to whoever answers: ` +
				`use https://10.0.0.8:9092, the other server's --relay-address, or add --peer-insecure`,
		}},
		{"a peer in clear of what has only the name of a pod", peering(), []string{"PEER=http://10.0.0.8:5080", "POD_NAME=mine"}, Mistakes{
			`$PEER: "http://10.0.0.8:5080" sends the streams and a token in clear, to whoever answers: ` +
				`use https://10.0.0.8:9092, the other server's --relay-address, or add --peer-insecure`,
		}},
		{"TLS in clear", peering("--peer", "https://10.0.0.8:9092", "--peer-insecure"), nil, Mistakes{
			"--peer-insecure: goes with a --peer of http; leave it out for https://10.0.0.8:9092",
		}},
		{"a certificate in clear", peering("--peer", "http://10.0.0.8:9092", "--peer-insecure", "--peer-tls-cert", file), nil, Mistakes{
			"--peer-tls-cert: goes with a --peer of https",
		}},
		{"a certificate of nobody, which does not exist", []string{"--peer-tls-cert", none}, nil, Mistakes{
			"--peer-insecure, --peer-tls-cert: need --peer", missing("--peer-tls-cert"),
		}},
		{"a relay port without the files by which to know the peer", []string{"--role=primary", "--relay-address=:9092"}, nil, Mistakes{
			"--relay-address: needs --role, --control-tls-cert, --control-tls-key and --control-token-file, and no --peer-insecure",
		}},
		{"no duration", []string{"--drain-timeout", "30"}, nil, Mistakes{`--drain-timeout: "30" must be a duration from 0s to 1h0m0s, such as 30s`}},
		{"a day", []string{"--drain-timeout", "24h"}, nil, Mistakes{`--drain-timeout: "24h" must be a duration from 0s to 1h0m0s, such as 30s`}},
		{"no address of the pod", nil, []string{"POD_IP=pod"}, Mistakes{`$POD_IP: "pod" is no IP address`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.args, tt.env)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) {
				t.Fatalf("error %v, want Mistakes", err)
			}
			if diff := cmp.Diff(tt.want, mistakes); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

const longKey = "0123456789abcdef0123456789abcdef"

func TestKeysComeFromTheFolder(t *testing.T) {
	const token, jwt = "  publish: {auth: Token, tokenSecretRef: {name: keys}}\n", "  playback: {auth: JWT, tokenSecretRef: {name: viewers}}\n"
	where := `file, StreamPair "demo": `
	for _, tt := range []struct {
		name  string
		spec  string
		files map[string]string
		want  Keys
		says  []string
	}{
		{"a token", token, map[string]string{"keys/publishToken": "a-good-token"}, Keys{PublishToken: "a-good-token"}, nil},
		{"with a line break", token, map[string]string{"keys/publishToken": "a-good-token\r\n"}, Keys{PublishToken: "a-good-token"}, nil},
		{
			"viewers' key as it is, in another Secret", token + jwt,
			map[string]string{"keys/publishToken": "a-good-token", "viewers/jwtKey": longKey + "\n"},
			Keys{PublishToken: "a-good-token", JWTKey: longKey + "\n"}, nil,
		},
		{
			"viewers' token beside the publishers'", token + "  playback: {auth: Token}\n",
			map[string]string{"keys/publishToken": "a-good-token", "keys/playToken": "another-token"},
			Keys{PublishToken: "a-good-token", PlayToken: "another-token"}, nil,
		},
		{"no Secret: nobody gets in", token, nil, Keys{}, []string{where + `spec.publish.tokenSecretRef: there is no Secret "keys" with publishToken`}},
		{"an empty key", token, map[string]string{"keys/publishToken": "\n"}, Keys{}, []string{where + `spec.publish.tokenSecretRef: there is no Secret "keys" with publishToken`}},
		{"a wrong token is not shown", token, map[string]string{"keys/publishToken": "hush hush"}, Keys{}, []string{
			where + `spec.publish.tokenSecretRef: publishToken of the Secret "keys" ` + tokenRule,
		}},
		{"a short key", jwt + "  publish: {auth: None}\n", map[string]string{"viewers/jwtKey": "hush"}, Keys{}, []string{
			where + `spec.playback.tokenSecretRef: jwtKey of the Secret "viewers" must have at least 32 bytes`,
		}},
		{"none named: one is made up", "  publish: {auth: Token}\n", nil, Keys{PublishToken: "(made)", GeneratedPublishToken: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Files{Secrets: secretFiles(t, tt.files)}
			m, err := f.Parse(Manifest{}, Source{"file", []byte(demo(tt.spec))})
			if err != nil {
				t.Fatal(err)
			}
			got := m.Pairs[0].Keys
			if got.GeneratedPublishToken {
				got.PublishToken = "(made)"
			}
			if diff := cmp.Diff(tt.want, got, cmp.Transformer("keys", func(k Keys) [5]string {
				return [5]string{k.PublishToken, k.PlayToken, k.JWTKey, fmt.Sprint(k.GeneratedPublishToken), fmt.Sprint(k.GeneratedPlayToken)}
			})); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.says, m.SecretErrors); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// demo returns a manifest with spec appended to its spec.
func demo(spec string) string {
	return head + "metadata: {name: demo}\nspec:\n  primary: {streamID: primary}\n  backup: {streamID: backup}\n" + spec
}

func TestAMissingKeyIsKeptAndADocumentWins(t *testing.T) {
	folder := secretFiles(t, map[string]string{"keys/publishToken": "from-the-folder"})
	f := Files{Secrets: folder}
	source := Source{"file", []byte(demo("  publish: {auth: Token, tokenSecretRef: {name: keys}}\n"))}
	before, err := f.Parse(Manifest{}, source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "keys", "publishToken")); err != nil {
		t.Fatal(err)
	}
	after, err := f.Parse(before, source)
	if err != nil {
		t.Fatal(err)
	}
	if !after.Equal(before) || len(after.SecretErrors) != 1 {
		t.Errorf("the token is %q, and %v is said", after.Pairs[0].Keys.PublishToken, after.SecretErrors)
	}
	document := Source{"file", []byte(string(source.Content) + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {publishToken: from-a-document}\n")}
	chosen, err := f.Parse(after, document)
	if err != nil {
		t.Fatal(err)
	}
	if got := chosen.Pairs[0].Keys.PublishToken; got != "from-a-document" || chosen.Equal(after) || !chosen.Declares(after) {
		t.Errorf("the token is %q; equal %v, declares the same %v", got, chosen.Equal(after), chosen.Declares(after))
	}
}

func TestSecretsOutsideTheFolderAreNotRead(t *testing.T) {
	folder := secretFiles(t, map[string]string{"secrets/keys/publishToken": "inside-the-folder", "outside/publishToken": "outside-of-it"})
	f := Files{Secrets: filepath.Join(folder, "secrets")}
	for _, name := range []string{"../outside", "..", ".", "keys/../../outside", "/etc"} {
		if got, err := readSecret(f.Secrets, name, KeyPublishToken); got != "" || err != nil {
			t.Errorf("%q: %q, %v", name, got, err)
		}
		pair := Pair{}
		pair.Spec.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: name}
		if names := f.Names(Manifest{Pairs: []Pair{pair}}); len(names) > 0 {
			t.Errorf("%q: %v is watched", name, names)
		}
	}
}

func TestICEServersGetTheirCredentials(t *testing.T) {
	spec := `  publish: {auth: None}
  mediaServer:
    iceServers:
    - {urls: ["stun:stun.example.net"]}
    - {urls: ["turn:turn.example.net"], credentialSecretRef: {name: turn}}
`
	stun := ICEServer{URLs: []string{"stun:stun.example.net"}}
	turn := ICEServer{URLs: []string{"turn:turn.example.net"}, Username: "user", Credential: "p@ss, \"word\""}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []ICEServer
		says  int
	}{
		{"both keys", map[string]string{"turn/username": "user\n", "turn/credential": turn.Credential}, []ICEServer{stun, turn}, 0},
		{"one is missing: the server is left out", map[string]string{"turn/username": "user"}, []ICEServer{stun}, 1},
		{"both are", nil, []ICEServer{stun}, 2},
		{"two lines cannot stand in a header", map[string]string{"turn/username": "user", "turn/credential": "a\nb"}, []ICEServer{stun}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Files{Secrets: secretFiles(t, tt.files)}
			m, err := f.Parse(Manifest{}, Source{"file", []byte(demo(spec))})
			if err != nil {
				t.Fatal(err)
			}
			got := m.Pairs[0].ICEServers
			if !slices.EqualFunc(got, tt.want, func(a, b ICEServer) bool {
				return slices.Equal(a.URLs, b.URLs) && a.Username == b.Username && a.Credential == b.Credential
			}) {
				t.Errorf("%d servers: %v", len(got), got)
			}
			if len(m.SecretErrors) != tt.says {
				t.Errorf("%q is said", m.SecretErrors)
			}
			if shown := fmt.Sprintf("%v %+v %#v", m.Pairs[0].ICEServers, got, got); strings.Contains(shown, "p@ss") || strings.Contains(shown, "user") {
				t.Errorf("a credential is shown: %s", shown)
			}
		})
	}
	m, err := ParseManifest(Manifest{}, Source{"file", []byte(demo(spec))})
	if err != nil || len(m.Pairs[0].ICEServers) != 1 || len(m.SecretErrors) != 2 {
		t.Errorf("without any Secrets: %v, %v, %v", err, m.Pairs, m.SecretErrors)
	}
}

func TestFieldsOfANewerVersionAreLeftOutInACluster(t *testing.T) {
	source := Source{"file", []byte(demo("  invention: {of: tomorrow}\n"))}
	if _, err := (Files{}).Parse(Manifest{}, source); err == nil || !strings.Contains(err.Error(), "invention: Unknown field") {
		t.Errorf("standalone: %v", err)
	}
	if m, err := (Files{Lenient: true}).Parse(Manifest{}, source); err != nil || len(m.Pairs) != 1 || !slices.Equal(m.UnknownFields, []string{"spec.invention"}) {
		t.Errorf("in a cluster: %v, unknown %v, %v", m.Pairs, m.UnknownFields, err)
	}
	if _, err := (Files{Lenient: true}).Parse(Manifest{}, Source{"file", []byte(demo("  app: 7\n"))}); err == nil {
		t.Error("a field of a wrong type is taken in a cluster")
	}
}

func TestGeneration(t *testing.T) {
	for text, want := range map[string]int64{"7": 7, "": 0, "seven": 0, "-1": 0} {
		pair := Pair{}
		pair.Annotations = map[string]string{v1alpha1.AnnotationConfigGeneration: text}
		if got := (Manifest{Pairs: []Pair{{}, pair}}).Generation(); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestFilesAreNamed(t *testing.T) {
	f := Files{Pairs: []string{"pair.yaml"}, Secrets: "/secrets"}
	m, err := ParseManifest(Manifest{}, Source{"file", []byte(demo(`  publish: {auth: Token, tokenSecretRef: {name: keys}}
  mediaServer: {iceServers: [{urls: ["turn:t"], credentialSecretRef: {name: turn}}]}
`))})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pair.yaml", "/secrets/keys/publishToken", "/secrets/keys/playToken", "/secrets/keys/jwtKey", "/secrets/turn/username", "/secrets/turn/credential"}
	if diff := cmp.Diff(want, f.Names(m), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pair.yaml"}, Files{Pairs: f.Pairs}.Names(m)); diff != "" {
		t.Error(diff)
	}
}

func TestKeySetsComeFromTheFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(secret, key, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, secret), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, secret, key), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const set = `{"keys": [{"kty": "oct", "k": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]}`
	manifest := func(secret string) Source {
		return Source{Name: "pair.yaml", Content: []byte(head + `metadata: {name: demo}
spec:
  primary: {streamID: a}
  backup: {streamID: b}
  publish: {auth: Token, jwks: {secretRef: {name: ` + secret + `}}}
  playback: {auth: JWT, jwks: {url: "https://login.example.com/keys"}}
`)}
	}
	files := Files{Secrets: dir}
	write("signers", "jwks", set+"\n")
	m, err := files.Parse(Manifest{}, manifest("signers"))
	if err != nil {
		t.Fatal(err)
	}
	if keys := m.Pairs[0].Keys; keys.PublishJWKS != set || keys.PlaybackJWKS != "" || keys.JWTKey != "" || len(m.SecretErrors) > 0 {
		t.Errorf("%q, %q, %q, %v", keys.PublishJWKS, keys.PlaybackJWKS, keys.JWTKey, m.SecretErrors)
	}
	if names := files.Names(m); !slices.Contains(names, filepath.Join(dir, "signers", "jwks")) {
		t.Errorf("the key set is not among %v", names)
	}
	for _, tt := range []struct{ what, secret, content, keys, says string }{
		{"a set that cannot be read", "signers", "{", set, "jwks of the Secret \"signers\" cannot be used"},
		{"another Secret, which is missing", "others", "", "", "there is no Secret \"others\" with jwks"},
	} {
		if tt.content != "" {
			write(tt.secret, "jwks", tt.content)
		}
		next, err := files.Parse(m, manifest(tt.secret))
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Pairs[0].Keys.PublishJWKS; got != tt.keys {
			t.Errorf("%s: the keys are %q, want %q", tt.what, got, tt.keys)
		}
		if len(next.SecretErrors) != 1 || !strings.Contains(next.SecretErrors[0], tt.says) {
			t.Errorf("%s: %q, want %q", tt.what, next.SecretErrors, tt.says)
		}
	}
}
