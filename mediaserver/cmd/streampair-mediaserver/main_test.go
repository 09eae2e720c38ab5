package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/conformance"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const manifest = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
`

// onFreePorts are arguments for a server that is in nobody's way.
func onFreePorts(args ...string) []string {
	for _, port := range []string{"rtmp", "srt", "http", "https", "webrtc", "probe", "control"} {
		args = append(args, "--"+port+"-address", "127.0.0.1:0")
	}
	return args
}

func writeManifest(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pair.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestItRunsUntilItIsToldToEndAndShowsTheTokenItMadeUp(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	var stdout, stderr bytes.Buffer
	if err := run(ctx, onFreePorts("--pair", writeManifest(t, manifest)), nil, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "publish token of pair sunday: ") {
		t.Errorf("nobody was told the token: %q", &stdout)
	}
	for _, before := range []string{"publish token of pair sunday: ", "control room: http://127.0.0.1:"} {
		_, secret, _ := strings.Cut(stdout.String(), before)
		secret, _, _ = strings.Cut(secret, "\n")
		if _, key, ok := strings.Cut(secret, "/?key="); ok {
			secret = key
		}
		if len(secret) < 20 || strings.Contains(stderr.String(), secret) {
			t.Errorf("what follows %q is %q: missing, or in the log:\n%s", before, secret, &stderr)
		}
	}
}

// A key opens one browser, so another browser needs another URL.
func TestASignalPrintsAnotherURLOfTheControlRoom(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var stdout mediatest.LogLines
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, onFreePorts("--pair", writeManifest(t, manifest)), nil, &stdout, io.Discard) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually.True(t, "the publish token, which comes last", func() bool { return len(stdout.With("publish token")) == 1 })
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "another URL", func() bool { return len(stdout.With("control room: ")) == 2 })
	if urls := stdout.With("control room: "); urls[0] == urls[1] {
		t.Errorf("the same URL twice: %q", urls)
	}
}

func TestAWrongManifestIsOneLinePerMistake(t *testing.T) {
	file := writeManifest(t, strings.Replace(manifest, "streamID: backup", "streamID: primary", 1)+"  failover: {mode: Fast, inputLossMilliseconds: 5}\n")
	err := run(t.Context(), onFreePorts("--pair", file), nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil {
		t.Fatal("it was accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, field := range []string{"spec.backup.streamID", "spec.failover.mode", "spec.failover.inputLossMilliseconds"} {
		if len(lines) != 3 || !strings.Contains(lines[i], field) {
			t.Fatalf("got %q, want three lines, one of %s", lines, field)
		}
	}
}

func TestCheckSaysWhatAServerDoesWrong(t *testing.T) {
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	for _, command := range []string{"check-whip", "check-whep"} {
		var table, text bytes.Buffer
		err := run(t.Context(), []string{command, "--timeout", "1m", refuses.URL}, nil, &table, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "MUST") || !strings.Contains(table.String(), "POST of an offer opens a session") {
			t.Errorf("%s: %v\n%s", command, err, &table)
		}
		err = run(t.Context(), []string{command, "-o", "json", refuses.URL}, []string{"TOKEN=secret"}, &text, io.Discard)
		var report conformance.Report
		if decoded := json.Unmarshal(text.Bytes(), &report); err == nil || decoded != nil || report.URL != refuses.URL || len(report.Results) < 30 {
			t.Errorf("%s: %v, %v\n%s", command, err, decoded, &text)
		}
		if strings.Contains(text.String(), "secret") {
			t.Errorf("%s shows the token:\n%s", command, &text)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if err := run(t.Context(), []string{"check-whep", gone.URL}, nil, io.Discard, io.Discard); err == nil || strings.Contains(err.Error(), "MUST") {
		t.Errorf("a server that is not there: %v", err)
	}
	for _, wrong := range [][]string{{}, {"one", "two"}, {"ftp://a.example"}, {"-o", "xml", refuses.URL}, {"--tokens", "x", refuses.URL}} {
		if err := run(t.Context(), append([]string{"check-whep"}, wrong...), nil, io.Discard, io.Discard); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line", wrong, err)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"check-whip", "--help"}, nil, &help, io.Discard); err != nil || !strings.Contains(help.String(), "--insecure") {
		t.Errorf("%v\n%s", err, &help)
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, nil, &stdout, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--pair", "--advertise-address", "MAX_VIEWERS"} {
		if !strings.Contains(stdout.String(), flag) {
			t.Errorf("help does not mention %s", flag)
		}
	}
}
