package charttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNotesCanBeCopied runs all the commands of the notes as they stand there, in a shell
// with a kubectl that writes down what it is given.
func TestNotesCanBeCopied(t *testing.T) {
	for values, ns := range map[string]string{"": "default", "watchNamespaces: [live]": "live"} {
		t.Run(ns, func(t *testing.T) {
			folder := t.TempDir()
			kubectl := "#!/bin/sh\nprintf 'kubectl %s\\n' \"$*\" >>\"$0.log\"\n[ \"$1\" != apply ] || cat >>\"$0.log\"\n"
			if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(kubectl), 0o755); err != nil {
				t.Fatal(err)
			}
			_, commands, _ := strings.Cut(render(t, values).notes, "1. Make a pair")
			commands, _, _ = strings.Cut(commands, "With the plugin")
			var script strings.Builder
			for block := range strings.SplitSeq(commands, "\n\n") {
				if strings.HasPrefix(block, "kubectl") {
					script.WriteString(block + "\n")
				}
			}
			shell := exec.CommandContext(t.Context(), "bash", "-e", "-c", script.String())
			shell.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
			// bash only warns of a document without an end.
			if out, err := shell.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v, %s\n%s", err, out, script.String())
			}
			want := `kubectl apply -n NS -f -
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: demo}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
kubectl wait -n NS --for=condition=Ready --timeout=3m sp/demo
kubectl get -n NS sp demo -o jsonpath={range .status.ingest[*]}{.role}{": "}{.rtmp}{"\n"}{end}{"watch: "}{.status.playbackURL}{"\n"}
`
			if diff := cmp.Diff(strings.ReplaceAll(want, "NS", ns), readFile(t, filepath.Join(folder, "kubectl.log"))); diff != "" {
				t.Errorf("kubectl was called otherwise (-want +got):\n%s", diff)
			}
		})
	}
}
