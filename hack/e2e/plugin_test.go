package e2e_test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/eventually"
)

// The pair can only be reached inside the cluster, and this machine only reaches the
// API server. The pair is published and watched through ports that the plugin forwards.
func TestThePluginPublishesAndPlays(t *testing.T) {
	s := here(t)
	const name = "tuesday"
	pair := newPair(name)
	pair.Spec.Exposure = v1alpha1.Exposure{}
	s.make(t, pair)
	t.Cleanup(func() { s.must(t, s.kube.Delete(context.Background(), pair)) })
	s.waitForPair(t, name, patience, "Ready=True")

	urls := s.plugin(t, 2, regexp.MustCompile(`ffmpeg +(rtmp://127\.0\.0\.1:\S+)`), "publish", name)
	life, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	for _, url := range urls {
		role := v1alpha1.RolePrimary
		if strings.Contains(url, "/backup") {
			role = v1alpha1.RoleBackup
		}
		e := audience.NewEncoder(audience.EncoderConfig{File: s.files[role], URL: url, Log: t.Output()})
		running.Go(func() { _ = e.Run(life) })
	}
	s.waitForPair(t, name, patience, "OnAir=True", "PrimaryLive=True", "BackupLive=True")

	played := s.plugin(t, 1, regexp.MustCompile(`^(http://127\.0\.0\.1:\S+)$`), "play", name)[0]
	s.must(t, s.page.Open(played))
	defer s.page.Close()
	s.eventually(t, "a picture on "+played, func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
	time.Sleep(3 * time.Second)
	now := time.Now()
	if gap := s.page.Pictures().LongestGap(now.Add(-2*time.Second), now).Length; gap > time.Second {
		t.Errorf("%v without a new picture", gap)
	}

	// The plugin's status must match what the pods do.
	out := s.runPlugin(t, "status", name)
	for _, want := range []string{"on air", "Live"} {
		if !strings.Contains(out, want) {
			t.Errorf("status says nothing of %q:\n%s", want, out)
		}
	}
	// What the pods measure comes through the API server too. While a condition lags, the check ends with an error.
	eventually.Seen(t, patience, "the check tells what both encoders send", func() (any, bool) {
		out, err := s.tryPlugin(t, "check", name)
		return out, err == nil && strings.Count(out, "a key frame each 1.0 s") == 2 && strings.Count(out, " LUFS") >= 2 && !strings.Contains(out, "NotMeasured")
	})
	s.runPlugin(t, "switch", "backup", name)
	s.eventually(t, "the backup on screen", func() bool { return s.page.Leg() == legNumber(v1alpha1.RoleBackup) })
}

// legNumber returns the leg's number in the time codes of its pictures.
func legNumber(role v1alpha1.Role) int {
	if role == v1alpha1.RoleBackup {
		return 1
	}
	return 0
}

func (s *testCluster) runPlugin(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.tryPlugin(t, args...)
	if err != nil {
		t.Fatalf("kubectl streampair %v: %v\n%s", args, err, out)
	}
	return out
}

func (s *testCluster) tryPlugin(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary(t, "kubectl-streampair"),
		append([]string{"--kubeconfig", s.kubeconfig, "-n", options.namespace}, args...)...).CombinedOutput()
	return string(out), err
}

// plugin runs the plugin until the test ends. It
// returns the first n matches in the plugin's output.
func (s *testCluster) plugin(t *testing.T, n int, match *regexp.Regexp, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary(t, "kubectl-streampair"), append([]string{"--kubeconfig", s.kubeconfig, "-n", options.namespace}, args...)...)
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	// A plugin that hangs is ended, which ends its output too.
	limit := time.AfterFunc(patience, cancel)
	defer limit.Stop()
	var found []string
	for lines := bufio.NewScanner(stdout); len(found) < n && lines.Scan(); {
		if m := match.FindStringSubmatch(lines.Text()); m != nil {
			found = append(found, m[1])
		}
	}
	if len(found) < n {
		t.Fatalf("kubectl streampair %v ended without %v", args, match)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return found
}
