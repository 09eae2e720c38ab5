package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/transcode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should
// take a moment. The machines are small and busy.
const patience = 30 * time.Second

// testServer is a whole media server in this process, on free loopback ports.
type testServer struct {
	*Server
	t      *testing.T
	stalls *stalls // stalls of this machine while the test runs
	end    func()  // tells the server to end, as SIGTERM does
	ended  chan struct{}
	// givesUp says that the test provokes a panic after which the server gives up.
	givesUp bool
}

// sticky and preferPrimary are manifests of the pair "sunday" with
// the streams live/primary and live/backup. Anybody may publish them.
const (
	sticky = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`
	preferPrimary = sticky + `
  failover: {mode: PreferPrimary, recoverySeconds: 10}
`
)

// startServer runs a server with the manifest until the test
// ends. The options change its configuration before that.
func startServer(t *testing.T, manifest string, options ...func(*Config)) *testServer {
	t.Helper()
	m, err := config.ParseManifest(config.Manifest{}, config.Source{Name: "manifest", Content: []byte(manifest)})
	if err != nil {
		t.Fatal(err)
	}
	const free = "127.0.0.1:0"
	cfg := Config{
		Config: config.Config{
			Manifest: m, RTMPAddress: free, HTTPAddress: free, WebRTCAddress: free, ProbeAddress: free, ControlAddress: free,
			MaxViewers: 100, MaxTranscodes: 4, // pictures are watched where a test says so, see watching
		},
		FFmpegPath: transcode.FindFFmpeg(),
		Logger:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, option := range options {
		option(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- s.Run(ctx)
	}()
	server := &testServer{Server: s, t: t, stalls: newStalls(t), end: stop, ended: ended}
	t.Cleanup(func() {
		stop()
		want := context.Canceled
		if server.givesUp {
			want = ErrGaveUp
		}
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("the server ended: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return server
}

// publishURL returns the URL to which an encoder publishes a stream of the app live.
func (s *testServer) publishURL(streamID string) string {
	return "rtmp://" + s.Addresses().RTMP + "/live/" + streamID
}

// url returns an HTTP URL of the app live. query is name, value, name, value …
func (s *testServer) url(path string, query ...string) string {
	// The host is localhost, because browsers grant cameras and much else to it only.
	_, port, err := net.SplitHostPort(s.Addresses().HTTP)
	if err != nil {
		s.t.Fatal(err)
	}
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return "http://localhost:" + port + "/live/" + path + "?" + values.Encode()
}

// status returns the status from the command port.
func (s *testServer) status() control.Status {
	s.t.Helper()
	if s.ports.controlCerts != nil {
		return s.Status() // the command port demands a token
	}
	answer, err := http.Get("http://" + s.Addresses().Control + "/v1/status")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var st control.Status
	if err := json.NewDecoder(answer.Body).Decode(&st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// pair returns the status of the pair of that name.
func (s *testServer) pair(name string) control.Pair {
	s.t.Helper()
	for _, p := range s.status().Pairs {
		if p.Name == name {
			return p
		}
	}
	return control.Pair{}
}

// onAir waits until the pair sunday plays that stream and both legs are live or not, as given.
func (s *testServer) onAir(streamID string, primaryLive, backupLive bool) {
	s.t.Helper()
	eventually.True(s.t, "on air: "+streamID, func() bool {
		p := s.pair("sunday")
		return p.OnAir && p.ActiveStreamID == streamID && len(p.Legs) == 2 && p.Legs[0].Live == primaryLive && p.Legs[1].Live == backupLive
	})
}
