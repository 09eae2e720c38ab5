package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A mount is a volume as a kubelet fills it. Its files are links into
// ..data. That is a link to a folder, and is replaced as a whole.
type mount struct {
	t    *testing.T
	path string
	n    int
}

func newMount(t *testing.T, path string, files map[string]string) *mount {
	t.Helper()
	m := &mount{t: t, path: path}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	m.replace(files)
	return m
}

// replace does what a kubelet does when the Secret or ConfigMap has changed.
func (m *mount) replace(files map[string]string) {
	m.t.Helper()
	m.n++
	folder := fmt.Sprintf("..2026_11_22_%d", m.n)
	if err := os.Mkdir(filepath.Join(m.path, folder), 0o755); err != nil {
		m.t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(m.path, folder, name), []byte(content), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	next := filepath.Join(m.path, "..data_tmp")
	if err := os.Symlink(folder, next); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(m.path, "..data")); err != nil {
		m.t.Fatal(err)
	}
	if m.n > 1 {
		if err := os.RemoveAll(filepath.Join(m.path, fmt.Sprintf("..2026_11_22_%d", m.n-1))); err != nil {
			m.t.Fatal(err)
		}
	}
	for name := range files {
		err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.path, name))
		if err != nil && !os.IsExist(err) {
			m.t.Fatal(err)
		}
	}
}

// controlFiles returns the control files of a mount that has keys.
func (m *mount) controlFiles() config.ControlFiles {
	at := func(name string) string { return filepath.Join(m.path, name) }
	return config.ControlFiles{TLSCert: at("control.crt"), TLSKey: at("control.key"), TokenFile: at("clusterToken")}
}

// pairOf returns the manifest in a pod's ConfigMap.
func pairOf(generation int, spec string) string {
	return fmt.Sprintf(`
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata:
  name: sunday
  namespace: live
  generation: %[1]d
  annotations: {media.streampair.dev/config-generation: "%[1]d"}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: Token, tokenSecretRef: {name: sunday-keys}}
%[2]s`, generation, spec)
}

const (
	firstToken, secondToken     = "publish-token-one", "publish-token-two"
	firstCluster, secondCluster = "cluster-token-number-one", "cluster-token-number-two"
)

// A pod is a media server with the files that the operator gives it.
type pod struct {
	*testServer
	config, keys, tls *mount
	log               *mediatest.LogLines
	roots             *x509.CertPool
	links             []string // of the last answer, to ICE servers
}

// keys returns the files of the generated Secret.
func keys(t *testing.T, publishToken, clusterToken string) map[string]string {
	t.Helper()
	cert, key := certificate(t)
	return map[string]string{
		"publishToken": publishToken, "clusterToken": clusterToken, "control.crt": cert, "control.key": key,
	}
}

func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	made, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// startPod starts a media pod of the primary leg, with the operator's arguments and args.
func startPod(t *testing.T, manifest string, args ...string) *pod {
	t.Helper()
	folder := t.TempDir()
	files := keys(t, firstToken, firstCluster)
	p := &pod{
		config: newMount(t, filepath.Join(folder, "config"), map[string]string{"pair.yaml": manifest}),
		keys:   newMount(t, filepath.Join(folder, "secrets", "sunday-keys"), files),
		tls:    newMount(t, filepath.Join(folder, "tls"), nil),
		log:    &mediatest.LogLines{}, roots: x509.NewCertPool(),
	}
	p.roots.AppendCertsFromPEM([]byte(files["control.crt"]))
	args = append([]string{
		"--pair", filepath.Join(folder, "config", "pair.yaml"), "--secrets", filepath.Join(folder, "secrets"), "--role", "primary",
		"--control-address", "127.0.0.1:0", "--control-token-file", filepath.Join(p.keys.path, "clusterToken"),
		"--control-tls-cert", filepath.Join(p.keys.path, "control.crt"), "--control-tls-key", filepath.Join(p.keys.path, "control.key"),
		"--tls-cert", filepath.Join(p.tls.path, "tls.crt"), "--tls-key", filepath.Join(p.tls.path, "tls.key"),
		"--rtmp-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--https-address", "127.0.0.1:0",
		"--webrtc-address", "127.0.0.1:0", "--probe-address", "127.0.0.1:0", "--relay-address", "127.0.0.1:0",
	}, args...)
	cfg, err := config.Load(args, []string{"POD_NAME=sunday-primary-1", "NODE_NAME=node-a", "POD_IP=127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	p.testServer = startServer(t, sticky, func(c *Config) {
		c.Config = cfg
		c.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(p.log, t.Output()), nil))
	})
	t.Cleanup(func() {
		for _, secret := range []string{firstToken, secondToken, firstCluster, secondCluster} {
			if strings.Contains(p.log.String(), secret) {
				t.Errorf("the log shows the token %s", secret)
			}
		}
	})
	return p
}

// command sends a request with a token to the command port.
func (p *pod) command(method, path, token, body string) (code int, answer string) {
	p.t.Helper()
	return p.commandWith(method, path, token, body, nil)
}

// commandWith is command with additional headers.
func (p *pod) commandWith(method, path, token, body string, headers http.Header) (code int, answer string) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: p.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13},
	}}
	r, err := http.NewRequestWithContext(p.t.Context(), method, "https://"+p.Addresses().Control+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	maps.Copy(r.Header, headers)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

// tells returns the pod's status.
func (p *pod) tells(token string) control.Status {
	p.t.Helper()
	code, text := p.command("GET", "/v1/status", token, "")
	if code != http.StatusOK {
		p.t.Fatalf("status: %d %s", code, text)
	}
	for _, secret := range []string{firstToken, secondToken, firstCluster, secondCluster} {
		if strings.Contains(text, secret) {
			p.t.Errorf("status shows the token %s", secret)
		}
	}
	var st control.Status
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		p.t.Fatal(err)
	}
	return st
}

// admits reports whether the token lets an encoder publish the primary leg.
func (p *pod) admits(token string) bool {
	_, err := p.access.Publish("live", "primary", token)
	return err == nil
}

// answer returns the answer to a viewer.
func (p *pod) answer() string {
	p.t.Helper()
	got, err := http.Post(p.url("whep/primary", "backupStreamId", "backup"), "application/sdp", strings.NewReader(offer(p.t)))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusCreated {
		p.t.Fatalf("%s %s %v", got.Status, text, err)
	}
	p.links = slices.DeleteFunc(got.Header.Values("Link"), func(link string) bool { return !strings.Contains(link, `rel="ice-server"`) })
	return string(text)
}

// offer returns a viewer's offer.
func offer(t *testing.T) string {
	t.Helper()
	viewer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = viewer.Close() }()
	if _, err := viewer.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv}); err != nil {
		t.Fatal(err)
	}
	offer, err := viewer.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}
