package kubetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kubectlTimeout bounds one call of kubectl. A `kubectl wait` must be shorter.
const kubectlTimeout = 2 * time.Minute

// Kubectl runs the real kubectl as the administrator, and
// returns its output. The test fails if kubectl fails.
func (c *Cluster) Kubectl(t TB, args ...string) string {
	t.Helper()
	out, err := c.KubectlInput(t, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// KubectlInput runs the real kubectl, with the input for
// `-f -`. If kubectl fails, the error has its error output.
func (c *Cluster) KubectlInput(t TB, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kubectlTimeout)
	defer cancel()

	var out, says bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.assets, "kubectl"), args...)
	// kubectl must use neither the caller's configuration,
	// nor the cache with another cluster's kinds.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl-cache"), "KUBERC=off")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &says
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(says.String()))
	}
	return out.String(), nil
}

// Assets returns the folder of the programs: etcd,
// kube-apiserver, kube-controller-manager and kubectl.
func (c *Cluster) Assets() string { return c.assets }
