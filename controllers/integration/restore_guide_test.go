package integration_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// guide returns the commands of a section of docs/operate.md, one text for each block.
func guide(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := bytes.Cut(text, []byte("\n## "+section+"\n"))
	if !found {
		t.Fatalf("docs/operate.md has no section %q", section)
	}
	text, _, _ = bytes.Cut(text, []byte("\n## "))
	var blocks []string
	for _, block := range strings.Split(string(text), "```sh\n")[1:] {
		commands, _, _ := strings.Cut(block, "```")
		blocks = append(blocks, commands)
	}
	return blocks
}

// shell runs commands of the guide. The context's namespace is that of the pair.
func (w *world) shell(dir, commands string) string {
	w.t.Helper()
	config := filepath.Join(dir, "kubeconfig")
	content, err := os.ReadFile(w.cluster.Kubeconfig())
	w.must(err)
	w.must(os.WriteFile(config, content, 0o600))
	script := "set -euo pipefail\nkubectl config set-context --current --namespace " + w.namespace + " > /dev/null\n" + commands
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "KUBECACHEDIR="+filepath.Join(dir, "cache"), "KUBERC=off",
		"PATH="+w.cluster.Assets()+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s\n%v: %s", commands, err, out)
	}
	return string(out)
}

func TestAPairIsRestoredByTheCommandsOfTheGuide(t *testing.T) {
	blocks := guide(t, "Backup and restore")
	if len(blocks) != 3 {
		t.Fatalf("the section has %d blocks of commands, this test knows 3", len(blocks))
	}
	backup, restore, mark := blocks[0], blocks[1], blocks[2]
	for name, ofAnEarlierOperator := range map[string]bool{"of this operator": false, "of an operator before": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration = 2 })
			eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
			w.waitUntilQuiet()
			before := &corev1.Secret{}
			w.get("sunday-keys", before)
			w.shell(dir, backup)
			w.must(w.admin.Delete(t.Context(), w.pair("sunday")))
			eventually.True(w.t, "everything gone", func() bool { return len(w.everything()) == 0 })
			if ofAnEarlierOperator {
				path := filepath.Join(dir, "sunday-keys.yaml")
				content, err := os.ReadFile(path)
				w.must(err)
				w.must(os.WriteFile(path, []byte(strings.ReplaceAll(string(content), "media.streampair.dev/applied: keys", "mine: keys")), 0o600))
			}
			t.Log(w.shell(dir, restore))
			if ofAnEarlierOperator {
				w.waitFor("sunday", "Ready=False/NameConflict")
				t.Log(w.shell(dir, mark))
			}
			pair, after := w.pair("sunday"), &corev1.Secret{}
			eventually.True(w.t, "all objects the new pair's", func() bool { return w.allOwned(pair) })
			w.waitUntilQuiet()
			w.get("sunday-keys", after)
			if diff := cmp.Diff(before.Data, after.Data); diff != "" {
				t.Error("the keys changed")
			}
		})
	}
}
