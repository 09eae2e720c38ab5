package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/hack/cluster/machine"
)

// A node is a machine that runs pods. Its disk survives the machine.
type node struct {
	plan nodePlan
	host *host // nil while the node is powered off
	// isolated says that packets to and from the API server are dropped.
	isolated bool
	// loaded says that the disk already has the images.
	loaded bool
}

// tunables are values that a kubelet would set for the whole host if it found
// others. The kubelet is shown these values, so that the host keeps its own.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// start boots the node, and starts its services.
func (n *node) start(ctx context.Context, c *Cluster) error {
	disk := filepath.Join(c.config.State, n.plan.Name)
	if err := n.write(disk); err != nil {
		return fmt.Errorf("write the files of %s: %w", n.plan.Name, err)
	}
	mounts := append(c.baseMounts(),
		machine.Mount{Source: filepath.Join(c.config.State, "resolv.conf.empty"), Target: "/etc/resolv.conf"},
		machine.Mount{Source: filepath.Join(disk, "lib"), Target: "/var/lib"},
		machine.Mount{Source: filepath.Join(disk, "log"), Target: "/var/log"},
	)
	for name := range tunables {
		mounts = append(mounts, machine.Mount{Source: filepath.Join(disk, "sys", name), Target: filepath.Join("/proc/sys", name)})
	}
	h, err := boot(machine.Config{Hostname: n.plan.Name, Mounts: mounts}, c.logs(), c.say)
	if err != nil {
		return err
	}
	n.host = h
	if err := c.link(ctx, h, n.plan.Address); err != nil {
		return err
	}
	if err := h.sysctl(ctx, map[string]string{"net/ipv4/ip_forward": "1"}); err != nil {
		return err
	}
	if err := makeCgroups(n.plan.CgroupRoot); err != nil {
		return err
	}
	own := "/run/cluster/" + n.plan.Name + "/"
	if err := h.serve("containerd", "/run/node/containerd", "--config", own+"containerd.toml"); err != nil {
		return err
	}
	if err := until(ctx, "containerd; see "+h.log("containerd"), time.Minute, func(ctx context.Context) error {
		_, err := h.Output(ctx, nil, "/run/node/ctr", "version")
		return err
	}); err != nil {
		return err
	}
	if !n.loaded {
		if err := n.load(ctx, images(c.config.Root)...); err != nil {
			return err
		}
		n.loaded = true
	}
	if err := h.serve("kubelet", "/run/kube/kubelet", "--config="+own+"kubelet.yaml",
		"--kubeconfig=/run/cluster/pki/"+n.plan.Name+".kubeconfig",
		"--hostname-override="+n.plan.Name, "--node-ip="+n.plan.Address, "--v=2"); err != nil {
		return err
	}
	return h.serve("kube-proxy", "/run/kube/kube-proxy", "--config="+own+"kube-proxy.yaml")
}

// write writes the node's own files.
func (n *node) write(disk string) error {
	contents := map[string]string{}
	for file, target := range map[string]string{
		"containerd.toml": "containerd.toml",
		"kubelet.yaml":    "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml",
		"cni.conflist":    "cni/10-pods.conflist",
	} {
		content, err := render(file, n.plan)
		if err != nil {
			return err
		}
		contents[target] = content
	}
	for name, value := range tunables {
		contents["sys/"+name] = value + "\n"
	}
	for name, content := range contents {
		path := filepath.Join(disk, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			return err
		}
	}
	return errors.Join(os.MkdirAll(filepath.Join(disk, "lib"), 0o755), os.MkdirAll(filepath.Join(disk, "log"), 0o755))
}

// images returns the tarballs that each node gets.
func images(root string) []string {
	folder := filepath.Join(root, "bin/cluster-images")
	return []string{
		filepath.Join(folder, "pause.tar"),
		filepath.Join(folder, "coredns.tar"),
		filepath.Join(folder, "streampair-operator.tar"),
		filepath.Join(folder, "streampair-mediaserver.tar"),
		filepath.Join(folder, "next/streampair-mediaserver.tar"),
	}
}

// load imports the images of tarballs.
func (n *node) load(ctx context.Context, tarballs ...string) error {
	for _, path := range tarballs {
		// ctr reads the tarball from standard input,
		// because the node may not see the host's path.
		tarball, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("image for the cluster: %w", err)
		}
		_, err = n.host.Output(ctx, tarball, "/run/node/ctr", "-n", "k8s.io", "images", "import", "-")
		_ = tarball.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// signal sends a signal to the first process of a container.
func (n *node) signal(ctx context.Context, id, signal string) error {
	_, err := n.host.Output(ctx, nil, "/run/node/ctr", "-n", "k8s.io", "tasks", "kill", "--signal", signal, id)
	return err
}

// has reports whether the container is on this node.
func (n *node) has(ctx context.Context, id string) bool {
	out, err := n.host.Output(ctx, nil, "/run/node/ctr", "-n", "k8s.io", "tasks", "list", "-q")
	return err == nil && strings.Contains("\n"+out, "\n"+id+"\n")
}

// awaitReady waits until the nodes are Ready.
func (c *Cluster) awaitReady(ctx context.Context, names ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		group.Go(func() error {
			return until(ctx, name+" Ready; see "+c.logs(), 2*time.Minute, func(ctx context.Context) error {
				n, err := c.api.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				for _, condition := range n.Status.Conditions {
					if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
						return errors.New(condition.Message)
					}
				}
				if len(n.Spec.Taints) > 0 && !n.Spec.Unschedulable {
					return fmt.Errorf("still has the taint %s", n.Spec.Taints[0].ToString())
				}
				return nil
			})
		})
	}
	return group.Wait()
}
