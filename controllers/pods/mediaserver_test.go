package pods

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/controllers/publishtest"
)

const sundayManifest = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata:
  name: sunday
  annotations: {media.streampair.dev/config-generation: "%d"}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  failover: {select: %s}
  publish: {auth: None}
`

// mediaServer is the real media server, as a process with a command port like a pod's.
type mediaServer struct {
	t         *testing.T
	binary    string
	args      []string
	pem       []byte
	process   *exec.Cmd
	addresses control.Addresses
}

func newMediaServer(t *testing.T) *mediaServer {
	t.Helper()
	dir := t.TempDir()
	certificate, pemBytes := fakeCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	m := &mediaServer{t: t, binary: filepath.Join(dir, "streampair-mediaserver"), pem: pemBytes}
	m.args = []string{
		"--pair", file("pair.yaml", fmt.Sprintf(sundayManifest, 1, "Auto")),
		"--control-tls-cert", file("control.crt", string(pemBytes)),
		"--control-tls-key", file("control.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))),
		"--control-token-file", file("clusterToken", fakeToken),
		"--https-address", "", "--log-format", "json",
	}
	for _, surface := range []string{"rtmp", "http", "webrtc", "probe", "control"} {
		m.args = append(m.args, "--"+surface+"-address", "127.0.0.1:0")
	}
	build := exec.Command("go", "build", "-o", m.binary, "github.com/streampair/streampair/mediaserver/cmd/streampair-mediaserver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the media server: %v\n%s", err, out)
	}
	return m
}

// start starts the process and reads the listening addresses from its log.
func (m *mediaServer) start() {
	m.t.Helper()
	m.process = exec.Command(m.binary, m.args...)
	stderr, err := m.process.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.process.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.kill)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct {
			Msg       string
			Addresses control.Addresses
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			m.addresses = line.Addresses
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return
		}
		m.t.Logf("media server: %s", lines.Text())
	}
	m.t.Fatal("the media server has not come up")
}

func (m *mediaServer) kill() {
	_ = m.process.Process.Kill()
	_ = m.process.Wait()
}

// publish starts an encoder for a stream of the pair.
func (m *mediaServer) publish(streamID string) *publishtest.Encoder {
	m.t.Helper()
	return publishtest.Start(m.t, "rtmp://"+m.addresses.RTMP+"/live/"+streamID)
}

func (m *mediaServer) target() Target {
	return Target{
		Key: sundayPrimary, Name: "sunday-primary-0", Address: m.addresses.Control, Token: fakeToken,
		Certificate: m.pem, ServerName: "sunday-control.live.streampair",
	}
}

func TestAMediaServerIsFollowed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("with encoders", func(t *testing.T) {
		m := newMediaServer(t)
		m.start()
		p := New(Config{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Run(ctx)
		}()
		defer func() {
			stop()
			<-ended
		}()
		// until waits as a reconcile does: it only looks when there is a hint.
		until := func(what string, ok func(State, control.Pair) bool) {
			t.Helper()
			began := time.Now()
			patience := time.After(30 * time.Second)
			for {
				s := p.State(sundayPrimary)
				var pair control.Pair
				if s.Status != nil && len(s.Status.Pairs) > 0 {
					pair = s.Status.Pairs[0]
				}
				if ok(s, pair) {
					t.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond))
					return
				}
				select {
				case <-p.hints.Delivered():
				case <-patience:
					t.Fatalf("%s: not within 30 s; state %+v, pair %+v", what, s, pair)
				}
			}
		}
		push := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		live := func(pair control.Pair, leg int) bool {
			return len(pair.Legs) > leg && pair.Legs[leg].Live && pair.Legs[leg].EntryPoint
		}

		p.Follow(sunday, []Target{m.target()})
		until("connected", func(s State, pair control.Pair) bool { return s.Connected && pair.Name == "sunday" && !pair.OnAir })
		primary := m.publish("primary")
		until("the primary is on air", func(_ State, pair control.Pair) bool { return pair.OnAir && pair.Active == "Primary" })
		m.publish("backup")
		until("both legs are live", func(_ State, pair control.Pair) bool { return live(pair, 0) && live(pair, 1) })

		// While only bit rates and similar figures change, there is no hint.
		before := p.State(sundayPrimary).Status
		for quiet := time.After(2 * time.Second); quiet != nil; {
			select {
			case <-p.hints.Delivered():
				now := p.State(sundayPrimary).Status
				if sameForPair("sunday", before, now) {
					t.Error("a hint though nothing happened")
				}
				before = now
			case <-quiet:
				quiet = nil
			}
		}

		primary.Kill()
		until("the backup has taken over", func(_ State, pair control.Pair) bool { return pair.Active == "Backup" && !live(pair, 0) })
		boot := p.State(sundayPrimary).Status.BootID

		pinned := []byte(fmt.Sprintf(sundayManifest, 2, "Backup"))
		push(p.PutConfig(ctx, sundayPrimary, pinned))
		push(p.PutConfig(ctx, sundayPrimary, pinned))
		until("the new manifest is in force", func(s State, pair control.Pair) bool {
			return pair.Select == "Backup" && s.Status.ConfigGeneration == 2
		})
		push(p.PutAddresses(ctx, sundayPrimary, control.MediaAddresses{
			WebRTC: []string{"203.0.113.7:30189:30190"},
			HTTP:   map[string]string{"Primary": "http://203.0.113.7:30080", "Backup": "http://[2001:db8::7]:30081"},
		}))
		until("the addresses are advertised", func(s State, _ control.Pair) bool {
			return strings.Join(s.Status.Advertised, " ") == "203.0.113.7:30189:30190" &&
				s.Status.BaseURLs["Primary"] == "http://203.0.113.7:30080" && s.Status.BaseURLs["Backup"] == "http://[2001:db8::7]:30081"
		})
		err := p.PutConfig(ctx, sundayPrimary, []byte("kind: StreamPear"))
		if err == nil || !strings.HasPrefix(err.Error(), "PUT /v1/config: 422 Unprocessable Entity: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("a wrong manifest: %v", err)
		}
		t.Log(err)

		m.kill()
		until("the pod is lost", func(s State, _ control.Pair) bool { return !s.Connected })
		m.start()
		p.Follow(sunday, []Target{m.target()})
		until("the pod is back", func(s State, _ control.Pair) bool { return s.Connected && s.Status.BootID != boot })
		push(p.PutConfig(ctx, sundayPrimary, pinned))
		until("the manifest is in force again", func(_ State, pair control.Pair) bool { return pair.Select == "Backup" })
	})
}
