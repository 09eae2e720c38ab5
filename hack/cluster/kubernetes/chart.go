package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const operatorNamespace = "streampair-system"

// applyAddons installs what every cluster has: the name server.
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

// ownChart returns the folder of the repository's chart.
func (c *Cluster) ownChart() string { return filepath.Join(c.config.Root, "charts/streampair") }

// install installs the chart in a folder, in place of the
// chart installed before. values are YAML and may be empty.
func (c *Cluster) install(ctx context.Context, chart, values string) error {
	manifest, err := c.renderChart(ctx, chart, values)
	if err != nil {
		return err
	}
	// The namespace has the strictest policy, and the operator's own pod must meet it.
	namespace := "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + operatorNamespace +
		"\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n"
	if _, err := c.kubectl(ctx, strings.NewReader(namespace+manifest),
		"apply", "--server-side", "--force-conflicts", "-n", operatorNamespace, "-f", "-"); err != nil {
		return err
	}
	release, err := objectsOf(manifest)
	if err != nil {
		return err
	}
	if gone := removed(c.release, release); gone != "" {
		if _, err := c.kubectl(ctx, strings.NewReader(gone), "delete", "--ignore-not-found", "-n", operatorNamespace, "-f", "-"); err != nil {
			return err
		}
	}
	c.release = release
	return c.rolledOut(ctx, operatorNamespace, "deployment/streampair-operator")
}

// renderChart returns the chart's objects as YAML.
func (c *Cluster) renderChart(ctx context.Context, chart, values string) (string, error) {
	own, err := render("values.yaml", planNode(c.config.Name, 1))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.config.Root, "bin/render"), "-chart", chart, "-namespace", operatorNamespace)
	for name, content := range map[string]string{"values.yaml": own, "values-given.yaml": values} {
		if err := os.WriteFile(filepath.Join(c.config.State, name), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	cmd.Args = append(cmd.Args, filepath.Join(c.config.State, "values.yaml"), filepath.Join(c.config.State, "values-given.yaml"))
	cmd.SysProcAttr = ownGroup()
	var failure strings.Builder
	cmd.Stderr = &failure
	manifest, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("render the chart: %w: %s", err, failure.String())
	}
	return string(manifest), nil
}

// objectsOf returns the YAML of each object of a manifest, by group, kind, namespace and name.
func objectsOf(manifest string) (map[string]string, error) {
	objects := map[string]string{}
	for document := range strings.SplitSeq("\n"+manifest, "\n---") {
		var o metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("read the chart's objects: %w", err)
		}
		if o.Kind != "" {
			group, _, _ := strings.Cut(o.APIVersion, "/")
			objects[strings.Join([]string{group, o.Kind, o.Namespace, o.Name}, "/")] = document
		}
	}
	return objects, nil
}

// removed returns the YAML of the objects that Helm deletes when one release follows another.
// These are the objects that the later release lacks, except those with the policy keep.
func removed(before, after map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[key]; !stays && !strings.Contains(before[key], "helm.sh/resource-policy: keep") {
			b.WriteString("---\n" + before[key] + "\n")
		}
	}
	return b.String()
}

func (c *Cluster) rolledOut(ctx context.Context, namespace, what string) error {
	_, err := c.kubectl(ctx, nil, "-n", namespace, "rollout", "status", what, "--timeout="+(3*time.Minute).String())
	return err
}
