package kubernetes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const operatorNamespace = "streampair-system"

// applyAddons makes what every cluster has: names.
func (c *Cluster) applyAddons(ctx context.Context) error {
	manifest, err := render("coredns.yaml", planNode(c.config.Name, 1))
	if err != nil {
		return err
	}
	_, err = c.kubectl(ctx, strings.NewReader(manifest), "apply", "--server-side", "-f", "-")
	return err
}

func (c *Cluster) awaitAddons(ctx context.Context) error {
	return c.rolledOut(ctx, "kube-system", "daemonset/coredns")
}

// install installs the chart, or upgrades it. The values are YAML and may be empty.
func (c *Cluster) install(ctx context.Context, values string) error {
	own, err := render("values.yaml", planNode(c.config.Name, 1))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.config.Root, "bin/render"),
		"-chart", filepath.Join(c.config.Root, "charts/streampair"), "-namespace", operatorNamespace)
	for name, content := range map[string]string{"values.yaml": own, "values-given.yaml": values} {
		if err := os.WriteFile(filepath.Join(c.config.State, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	cmd.Args = append(cmd.Args, filepath.Join(c.config.State, "values.yaml"), filepath.Join(c.config.State, "values-given.yaml"))
	cmd.SysProcAttr = ownGroup()
	var failure strings.Builder
	cmd.Stderr = &failure
	manifest, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("render the chart: %w: %s", err, failure.String())
	}
	// The strictest policy there is: the operator's own pod must pass it.
	namespace := "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + operatorNamespace +
		"\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n"
	if _, err := c.kubectl(ctx, strings.NewReader(namespace+string(manifest)),
		"apply", "--server-side", "--force-conflicts", "-n", operatorNamespace, "-f", "-"); err != nil {
		return err
	}
	return c.rolledOut(ctx, operatorNamespace, "deployment/streampair-operator")
}

func (c *Cluster) rolledOut(ctx context.Context, namespace, what string) error {
	_, err := c.kubectl(ctx, nil, "-n", namespace, "rollout", "status", what, "--timeout="+(3*time.Minute).String())
	return err
}
