package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
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
	for _, port := range []string{"rtmp", "http", "https", "webrtc", "probe", "control"} {
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
	_, token, _ := strings.Cut(strings.TrimSpace(stdout.String()), ": ")
	if token == "" || strings.Contains(stderr.String(), token) {
		t.Errorf("the token %q is missing, or in the log:\n%s", token, &stderr)
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
