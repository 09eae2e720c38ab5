package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

func TestTheCommandPortOfAPodAsksForItsToken(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	for _, tt := range []struct {
		name, token string
		want        int
	}{
		{"none", "", http.StatusUnauthorized},
		{"another", "cluster-token-number-1", http.StatusUnauthorized},
		{"a part of it", firstCluster[:10], http.StatusUnauthorized},
		{"the publishers'", firstToken, http.StatusUnauthorized},
		{"the right one", firstCluster, http.StatusOK},
	} {
		if code, text := p.command("GET", "/v1/status", tt.token, ""); code != tt.want {
			t.Errorf("token %s: %d %s, want %d", tt.name, code, text, tt.want)
		}
	}
	if code, _ := p.command("PUT", "/v1/config", "", sticky); code != http.StatusUnauthorized {
		t.Errorf("a manifest without a token: %d", code)
	}
	st := p.tells(firstCluster)
	if st.Role != string(v1alpha1.RolePrimary) || st.PodName != "sunday-primary-1" || st.NodeName != "node-a" || st.ConfigGeneration != 1 {
		t.Errorf("status tells role %q, pod %q, node %q, generation %d", st.Role, st.PodName, st.NodeName, st.ConfigGeneration)
	}
	metrics, err := http.Get("http://" + p.Addresses().Probe + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = metrics.Body.Close() }()
	text, _ := io.ReadAll(metrics.Body)
	if want := `streampair_http_requests_refused_total{reason="control_token"} 5`; !strings.Contains(string(text), want) {
		t.Errorf("metrics lack %s", want)
	}
}

func TestAReplacedPublishTokenIsEnforced(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	eventually.True(t, "the pair runs", func() bool { return len(p.tells(firstCluster).Pairs) == 1 })
	if !p.admits(firstToken) || p.admits("") || p.admits(secondToken) {
		t.Error("the token of the Secret is not the one that is asked for")
	}
	files := keys(t, secondToken, firstCluster)
	p.roots.AppendCertsFromPEM([]byte(files["control.crt"]))
	p.keys.replace(files)
	eventually.True(t, "the new token opens, the old one does not", func() bool { return p.admits(secondToken) && !p.admits(firstToken) })

	// A Secret that lost a key, or has an invalid one, takes the token from nobody.
	files["publishToken"] = "a b"
	p.keys.replace(files)
	eventually.True(t, "the wrong key is told of", func() bool {
		return strings.Contains(strings.Join(p.tells(firstCluster).ConfigErrors, "\n"), `publishToken of the Secret "sunday-keys" must be`)
	})
	if !p.admits(secondToken) {
		t.Error("the last good token does not hold")
	}
	files["publishToken"] = firstToken + "\n"
	p.keys.replace(files)
	eventually.True(t, "all is well again", func() bool { return p.admits(firstToken) && len(p.tells(firstCluster).ConfigErrors) == 0 })
}

func TestAPodWithoutItsSecretLetsNobodyIn(t *testing.T) {
	t.Parallel()
	p := startPod(t, strings.Replace(pairOf(1, ""), "sunday-keys", "of-a-user", 1))
	if p.admits("") || p.admits(firstToken) {
		t.Error("somebody may publish")
	}
	eventually.True(t, "the Secret is missed", func() bool {
		st := p.tells(firstCluster)
		return strings.Contains(strings.Join(st.ConfigErrors, "\n"), `there is no Secret "of-a-user" with publishToken`) &&
			slices.ContainsFunc(st.ConfigMistakes, func(m api.ConfigMistake) bool { return m.Reason == api.MistakeSecret })
	})
	newMount(t, filepath.Join(filepath.Dir(p.keys.path), "of-a-user"), map[string]string{"publishToken": secondToken})
	eventually.True(t, "the Secret is there", func() bool { return p.admits(secondToken) && len(p.tells(firstCluster).ConfigErrors) == 0 })
}

func TestAReplacedClusterTokenAndControlCertificateAreUsed(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	files := keys(t, firstToken, secondCluster)
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM([]byte(files["control.crt"]))
	if code, text := p.command("GET", "/v1/status", secondCluster, ""); code != 0 {
		t.Errorf("the certificate of tomorrow is served today: %d %s", code, text)
	}
	p.keys.replace(files)
	eventually.True(t, "the new certificate and token", func() bool {
		code, _ := p.command("GET", "/v1/status", secondCluster, "")
		return code == http.StatusOK
	})
	if code, _ := p.command("GET", "/v1/status", firstCluster, ""); code != http.StatusUnauthorized {
		t.Errorf("the old token: %d", code)
	}
	files["clusterToken"] = "short"
	p.keys.replace(files)
	eventually.True(t, "a wrong token is told of, and the last good one holds", func() bool {
		st := p.tells(secondCluster)
		return strings.Contains(strings.Join(st.ConfigErrors, "\n"), "read the token") && st.ConfigMistakes[0].Reason == api.MistakeControl
	})
}

func TestTheNewerManifestWinsOverAStaleFile(t *testing.T) {
	t.Parallel()
	const sticky, prefer = "  failover: {mode: Sticky}\n", "  failover: {mode: PreferPrimary}\n"
	p := startPod(t, pairOf(2, sticky))
	put := func(generation int, spec string) int {
		code, text := p.command("PUT", "/v1/config", firstCluster, pairOf(generation, spec))
		if code >= 300 && !strings.Contains(text, "generation") {
			t.Errorf("PUT generation %d: %d %s", generation, code, text)
		}
		return code
	}
	inForce := func(generation int64, mode v1alpha1.FailoverMode) func() bool {
		return func() bool {
			m := p.Manifest()
			return m.Generation() == generation && m.Pairs[0].Spec.Failover.Mode == mode && p.tells(firstCluster).ConfigGeneration == generation
		}
	}
	file := func(generation int, spec string) {
		p.config.replace(map[string]string{"pair.yaml": pairOf(generation, spec)})
	}
	steady := func(what string, condition func() bool) {
		t.Helper()
		time.Sleep(5 * watchInterval)
		if !condition() {
			t.Errorf("%s: generation %d", what, p.Manifest().Generation())
		}
	}
	eventually.True(t, "the file's is in force", inForce(2, v1alpha1.FailoverSticky))
	if code := put(1, prefer); code != http.StatusConflict {
		t.Errorf("an older one: %d", code)
	}
	if code := put(4, prefer); code != http.StatusNoContent {
		t.Errorf("a newer one: %d", code)
	}
	eventually.True(t, "the command's is in force", inForce(4, v1alpha1.FailoverPreferPrimary))
	file(3, sticky)
	steady("a file that lags changes nothing", inForce(4, v1alpha1.FailoverPreferPrimary))

	// A selected leg stays selected when the file says
	// what is already in force, and when a Secret changes.
	if code, text := p.command("PUT", "/v1/pairs/sunday/select", firstCluster, `{"select":"Backup"}`); code != http.StatusNoContent {
		t.Fatalf("select: %d %s", code, text)
	}
	selected := func() bool { return p.tells(firstCluster).Pairs[0].Select == "Backup" }
	file(4, prefer)
	files := keys(t, secondToken, firstCluster)
	p.roots.AppendCertsFromPEM([]byte(files["control.crt"]))
	p.keys.replace(files)
	eventually.True(t, "the new token", func() bool { return p.admits(secondToken) })
	steady("the file that has caught up changes nothing", func() bool { return selected() && inForce(4, v1alpha1.FailoverPreferPrimary)() })
	file(5, "  failover: {mode: PreferPrimary, select: Primary}\n")
	eventually.True(t, "a newer file wins, and what it selects", func() bool {
		return inForce(5, v1alpha1.FailoverPreferPrimary)() && p.tells(firstCluster).Pairs[0].Select == "Primary"
	})
}

func TestAPodKeepsTheStreamsThatItBeganWith(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	renamed := strings.ReplaceAll(pairOf(2, "  failover: {mode: PreferPrimary}\n"), "streamID: backup", "streamID: other")
	kept := func(generation int64) func() bool {
		return func() bool {
			told := p.tells(firstCluster)
			return told.ConfigGeneration == generation && len(told.Pairs) == 1 && told.Pairs[0].BackupID == "backup" &&
				p.Manifest().Pairs[0].Spec.Failover.Mode == v1alpha1.FailoverPreferPrimary
		}
	}
	if code, text := p.command("PUT", "/v1/config", firstCluster, renamed); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	eventually.True(t, "all but the streams is in force", kept(2))
	p.config.replace(map[string]string{"pair.yaml": strings.ReplaceAll(renamed, `"2"`, `"3"`)})
	eventually.True(t, "by the file too", kept(3))
}

func TestAWrongManifestFileChangesNothingAndIsToldOf(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	eventually.True(t, "the pair runs", func() bool { return len(p.tells(firstCluster).Pairs) == 1 })
	for _, tt := range []struct{ name, content, want string }{
		{"half of it", strings.Split(pairOf(2, ""), "  backup")[0], "spec.backup.streamID"},
		{"no YAML", "a: b: c", "pair.yaml"},
		{"nothing", "", "has no StreamPair"},
	} {
		p.config.replace(map[string]string{"pair.yaml": tt.content})
		eventually.True(t, tt.name+" is told of", func() bool {
			st := p.tells(firstCluster)
			return strings.Contains(strings.Join(st.ConfigErrors, "\n"), tt.want) && st.ConfigGeneration == 1 && len(st.Pairs) == 1 &&
				len(st.ConfigMistakes) == 1 && st.ConfigMistakes[0] == api.ConfigMistake{Reason: api.MistakeManifest, Message: st.ConfigErrors[0]}
		})
	}
	if n := strings.Count(p.log.String(), "has no StreamPair"); n != 1 {
		t.Errorf("the mistake was logged %d times", n)
	}
	// Unknown fields come from a newer operator.
	p.config.replace(map[string]string{"pair.yaml": pairOf(2, "  invention: of tomorrow\n")})
	eventually.True(t, "the next one is in force", func() bool {
		st := p.tells(firstCluster)
		return st.ConfigGeneration == 2 && len(st.ConfigErrors) == 0
	})
}

func TestACertificateThatComesLaterIsServed(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""))
	served := func() *x509.Certificate {
		c, err := tls.Dial("tcp", p.Addresses().HTTPS, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0]
	}
	st := p.tells(firstCluster).TLS
	if st == nil || st.Present || !st.SelfSigned || !strings.Contains(st.Error, "no such file") || !st.NotAfter.Equal(served().NotAfter) {
		t.Errorf("without a certificate status tells %+v", st)
	}
	cert, key := certificate(t)
	p.tls.replace(map[string]string{"tls.crt": cert, "tls.key": key})
	eventually.True(t, "the certificate is served", func() bool {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: served().Raw})) == cert
	})
	st = p.tells(firstCluster).TLS
	if !st.Present || st.SelfSigned || st.Error != "" || len(st.DNSNames) == 0 || st.DNSNames[0] != "localhost" || !st.NotAfter.Equal(served().NotAfter) {
		t.Errorf("with a certificate status tells %+v", st)
	}
	// An alert uses this metric.
	var metrics strings.Builder
	if response, err := http.Get("http://" + p.Addresses().Probe + "/metrics"); err != nil {
		t.Error(err)
	} else {
		_, _ = io.Copy(&metrics, response.Body)
		_ = response.Body.Close()
	}
	if want := fmt.Sprintf("\nstreampair_tls_certificate_not_after_seconds %g\n", float64(st.NotAfter.Unix())); !strings.Contains(metrics.String(), want) {
		t.Errorf("no %q among the metrics", strings.TrimSpace(want))
	}
	p.tls.replace(map[string]string{"tls.crt": cert, "tls.key": "no key"})
	eventually.True(t, "half of a certificate is told of, and the old one served", func() bool {
		st := p.tells(firstCluster).TLS
		return st.Present && st.Error != "" && string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: served().Raw})) == cert
	})
}

func TestAPodWithAWrongCertificateStartsAllTheSame(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	bad := newMount(t, filepath.Join(folder, "tls"), map[string]string{"tls.crt": "no certificate", "tls.key": "no key"})
	p := startPod(t, pairOf(1, ""), "--tls-cert", filepath.Join(bad.path, "tls.crt"), "--tls-key", filepath.Join(bad.path, "tls.key"))
	if st := p.tells(firstCluster).TLS; st == nil || st.Present || !st.SelfSigned || !strings.Contains(st.Error, "failed to find any PEM data") {
		t.Errorf("status tells %+v", st)
	}
	cert, key := certificate(t)
	bad.replace(map[string]string{"tls.crt": cert, "tls.key": key})
	eventually.True(t, "the mended certificate is served", func() bool {
		st := p.tells(firstCluster).TLS
		return st.Present && st.Error == ""
	})
}

func TestASelfSignedCertificateIsRenewedBeforeItEnds(t *testing.T) {
	c := newCertificates("", "", slog.New(slog.DiscardHandler))
	now := time.Now()
	c.now = func() time.Time { return now }
	get := func() *tls.Certificate {
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get()
	now = now.AddDate(0, 6, 0)
	if get() != first {
		t.Error("it is made anew for no reason")
	}
	now = now.AddDate(0, 6, -20)
	second := get()
	if second == first || second.Leaf.NotAfter.Before(now.AddDate(0, 11, 0)) {
		t.Errorf("ten days before its end it is served still, until %v", second.Leaf.NotAfter)
	}
}

func TestMediaAddressesAreReplacedByACommand(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, ""), "--advertise-address", "192.0.2.1")
	put := func(body string) (int, string) { return p.command("PUT", "/v1/addresses", firstCluster, body) }
	if got := p.tells(firstCluster).Advertised; len(got) != 1 || got[0] != "192.0.2.1" {
		t.Errorf("at first %v is told", got)
	}
	for _, body := range []string{`{"webrtc":["live.example.com"]}`, `{"webrtc":["192.0.2.9:0"]}`, `{"webrtc":[` + strings.Repeat(`"192.0.2.9",`, 16) + `"192.0.2.9"]}`} {
		if code, text := put(body); code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	if code, text := put(`{"webrtc":["203.0.113.7:30189:30190","2001:db8::1"]}`); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	if got := strings.Join(p.tells(firstCluster).Advertised, " "); got != "203.0.113.7:30189:30190 2001:db8::1" {
		t.Errorf("status tells %v", got)
	}
	_, port, err := net.SplitHostPort(p.Addresses().WebRTC)
	if err != nil {
		t.Fatal(err)
	}
	answer := p.answer()
	for _, want := range []string{" 203.0.113.7 30189 typ host", " 203.0.113.7 30190 typ host tcptype passive", " 2001:db8::1 " + port, " 127.0.0.1 " + port} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer lacks %q:\n%s", want, answer)
		}
	}
	if strings.Contains(answer, "192.0.2.1 ") {
		t.Error("the replaced address is told still")
	}
}

func TestViewersAreToldOfTURNServers(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, `
  mediaServer:
    iceServers:
    - {urls: ["stun:stun.example.net"]}
    - {urls: ["turn:turn.example.net"], credentialSecretRef: {name: turn}}
`))
	eventually.True(t, "the credential is missed", func() bool {
		return strings.Contains(strings.Join(p.tells(firstCluster).ConfigErrors, "\n"), `there is no Secret "turn" with credential`)
	})
	p.answer()
	stun := `<stun:stun.example.net>; rel="ice-server"`
	if diff := cmp.Diff([]string{stun}, p.links); diff != "" {
		t.Errorf("without its credential: %s", diff)
	}
	secret := newMount(t, filepath.Join(filepath.Dir(p.keys.path), "turn"), map[string]string{"username": "somebody\n", "credential": secondToken})
	turn := `<turn:turn.example.net>; rel="ice-server"; username="somebody"; credential="` + secondToken + `"; credential-type="password"`
	eventually.True(t, "the credential is told", func() bool {
		p.answer()
		return cmp.Equal([]string{stun, turn}, p.links)
	})
	secret.replace(map[string]string{"username": "other", "credential": secondToken})
	eventually.True(t, "the new credential is told", func() bool {
		p.answer()
		return cmp.Equal([]string{stun, strings.Replace(turn, "somebody", "other", 1)}, p.links)
	})
}
