package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// guarded is the manifest of the pair sunday, whose publishers and viewers need a token.
const guarded = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: Token, tokenSecretRef: {name: keys}}
  playback: {auth: Token}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {publishToken: publish-me-1, playToken: watch-me-1}
`

func TestTokensOpenWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	s := startServer(t, guarded)
	tape, err := mediatest.Programme{}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]string{
		"no token": "primary", "a wrong token": "primary?token=publish-me-2", "the viewers' token": "primary?token=watch-me-1",
		"a stream of no pair": "third?token=publish-me-1",
	} {
		var refused *mediatest.RefusedError
		r, err := mediatest.Replay(t.Context(), s.publishURL(wrong), tape, mediatest.ReplayOptions{})
		if !errors.As(err, &refused) {
			t.Errorf("%s: published (%v)", name, err)
			if r != nil {
				r.Kill()
			}
			continue
		}
		t.Logf("RTMP with %s: %s", name, refused.Status)
		if !strings.Contains(refused.Status, "token") && name != "a stream of no pair" {
			t.Errorf("%s: %q does not tell what is wrong", name, refused.Status)
		}
	}
	encoder := mediatest.Publish(t, file(t, mediatest.Programme{}), s.publishURL("primary"))
	<-encoder.Exited()
	if said := encoder.Output(); !strings.Contains(said, "token") {
		t.Errorf("ffmpeg without a token is not told of it: %s", said)
	}

	s.replay("primary?token=publish-me-1", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.replay("backup?token=publish-me-1", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	for _, request := range []struct{ method, path, contentType, body string }{
		{http.MethodPost, "whep/primary", "application/sdp", "v=0\r\n"},
		{http.MethodPost, "whip/primary", "application/sdp", "v=0\r\n"},
		{http.MethodGet, "events/primary", "", ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), request.method, s.url(request.path, "backupStreamId", "backup"), strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", request.contentType)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		t.Logf("%s %s without a token: %s: %s", request.method, request.path, answer.Status, strings.TrimSpace(string(text)))
		if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(string(text), "token") {
			t.Errorf("%s without a token is answered with %s: %s", request.path, answer.Status, text)
		}
	}
	for name, token := range map[string]string{"a wrong token": "watch-me-2", "the publishers' token": "publish-me-1"} {
		var refused *mediatest.StatusError
		_, err := mediatest.WatchWHEP(t.Context(), s.url("whep/primary", "backupStreamId", "backup"), mediatest.WatchOptions{Token: token})
		if !errors.As(err, &refused) || refused.Code != http.StatusUnauthorized {
			t.Errorf("WHEP with %s: %v", name, err)
		}
	}
	var unknown *mediatest.StatusError
	_, err = mediatest.WatchWHEP(t.Context(), s.url("whep/third"), mediatest.WatchOptions{Token: "watch-me-1"})
	if !errors.As(err, &unknown) || unknown.Code != http.StatusNotFound {
		t.Errorf("WHEP of a stream of no pair: %v", err)
	}
	byHeader := s.watch(mediatest.WatchOptions{Decode: true, Token: "watch-me-1"}, "primary", "backupStreamId", "backup")
	byURL := s.watch(mediatest.WatchOptions{Decode: true}, "primary", "backupStreamId", "backup", "token", "watch-me-1")
	byHeader.sees(0, fps, time.Time{})
	byURL.sees(0, fps, time.Time{})
	for state := range s.states("primary", "backupStreamId", "backup", "token", "watch-me-1") {
		if state.Active != "Primary" {
			t.Errorf("%s is said to be active", state.Active)
		}
		break
	}
}

// The newest publisher with a valid token takes over, without a gap.
func TestAPublisherTakesOverWithoutAGap(t *testing.T) {
	t.Parallel()
	s := startServer(t, guarded)
	old := s.replay("primary?token=publish-me-1", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	v := s.watch(mediatest.WatchOptions{Decode: true, Token: "watch-me-1"}, "primary", "backupStreamId", "backup")
	v.sees(0, 2*fps, time.Time{})
	began := time.Now()
	s.replay("primary?token=publish-me-1", mediatest.Programme{Leg: 2}, mediatest.ReplayOptions{})
	first := v.sees(2, 2*fps, began)
	select {
	case <-old.Done():
	case <-time.After(patience):
		t.Error("the one before is still connected")
	}
	if p := s.pair("sunday"); p.Switches != 0 || p.ActiveStreamID != "primary" {
		t.Errorf("%d switches, %s on air", p.Switches, p.ActiveStreamID)
	}
	r := v.leaves()
	r.isContinuous()
	r.isInSync(2, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
	gap := mediatest.LongestGap(r.sightings, began, first.Seen.Add(time.Second))
	t.Logf("the newcomer is seen after %v; longest gap %v", first.Seen.Sub(began).Round(ms), gap.Round(ms))
	if gap > maxGap {
		t.Errorf("no picture for %v", gap)
	}
}

func TestWhoFindsNoRoomIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.MaxViewers = 2 })
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	first, second := s.watch(mediatest.WatchOptions{}, "primary"), s.watchPair()
	second.sees(0, fps, time.Time{})
	var refused *mediatest.StatusError
	_, err := mediatest.WatchWHEP(t.Context(), s.url("whep/primary"), mediatest.WatchOptions{})
	if !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable {
		t.Fatalf("one too many: %v", err)
	}
	seconds, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("Retry-After is %q", refused.Header.Get("Retry-After"))
	}
	t.Logf("one too many is told %q, and to come back after %d s", strings.TrimSpace(refused.Body), seconds)
	first.Close()
	eventually.True(t, "there is room again", func() bool { return s.status().Viewers == 1 })
	third := s.watchPair()
	third.sees(0, fps, time.Time{})
	second.leaves().isContinuous()
}

// writeCertificate makes a certificate and returns it in DER.
func writeCertificate(t *testing.T, certFile, keyFile string) []byte {
	t.Helper()
	made, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return made.Certificate[0]
}

func TestHTTPSAndRTMPSFollowARenewedCertificate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	old := writeCertificate(t, certFile, keyFile)
	s := startServer(t, sticky, func(c *Config) {
		c.HTTPSAddress, c.RTMPSAddress, c.TLSCert, c.TLSKey = "127.0.0.1:0", "127.0.0.1:0", certFile, keyFile
	})
	served := func(address string) string {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	addresses := []string{s.Addresses().HTTPS, s.Addresses().RTMPS}
	for _, a := range addresses {
		if served(a) != string(old) {
			t.Errorf("%s does not serve the certificate of the file", a)
		}
	}

	// The whole programme goes over TLS: in from ffmpeg by RTMPS, out by WHEP.
	mediatest.Publish(t, file(t, mediatest.Programme{}), "rtmps://"+s.Addresses().RTMPS+"/live/primary", "-stream_loop", "-1")
	s.onAir("primary", true, false)
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(old)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	url := "https://" + s.Addresses().HTTPS + "/live/whep/primary?backupStreamId=backup"
	opened, err := mediatest.WatchWHEP(t.Context(), url, mediatest.WatchOptions{Decode: true, Client: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	v := &viewer{opened, t, s.stalls}
	v.sees(0, fps, time.Time{})

	// Half of a renewal does no harm, and the complete renewal is used.
	if err := os.WriteFile(keyFile, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3*watchInterval + 100*ms)
	for _, a := range addresses {
		if served(a) != string(old) {
			t.Errorf("%s serves another certificate while the files do not match", a)
		}
	}
	renewed := writeCertificate(t, certFile, keyFile)
	for _, a := range addresses {
		eventually.True(t, "the renewed certificate", func() bool { return served(a) == string(renewed) })
	}
	v.sees(0, fps, time.Now())
	v.leaves().isContinuous()
}
