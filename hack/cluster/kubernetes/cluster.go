// Package kubernetes runs a real Kubernetes on one Linux machine, for tests: a machine with
// the control plane, nodes with containerd and kubelet, and a machine from which viewers and
// encoders reach the cluster; all of it in namespaces that end with this process. It takes
// nodes, links and programs away when told to: see package client.
//
// It is no way to run Kubernetes for anybody's work: nothing survives its end. Start from
// Cluster.
package kubernetes

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/cluster/machine"
)

// Config says where things are. Folders are absolute.
type Config struct {
	// Name tells clusters of one host apart.
	Name string
	// Root is the repository's, with what the Makefile builds for the cluster.
	Root string
	// State is for the cluster's files. It is emptied at the start and, but for the logs, at
	// the end.
	State string
	// Socket is the path for client.Dial, which may have 107 bytes at most.
	Socket string
	// Nodes is how many there are, from 1 to 9.
	Nodes int
	// Out is for a person who waits.
	Out io.Writer
}

// A Cluster is one from Up to Down.
type Cluster struct {
	config Config
	began  time.Time

	// mu guards what follows: faults come from several tests' clients.
	mu      sync.Mutex
	control *host
	viewers *host
	nodes   []*node
	cuts    map[[2]string]client.Cut // by the pods' addresses, the lesser first
	frozen  map[string]bool          // containers, by the id they were frozen by
	release map[string]string        // the chart's objects as they are installed, see objectsOf

	api    kubernetes.Interface
	cancel context.CancelFunc
	work   *errgroup.Group
	socket net.Listener
}

// New returns a cluster that does not run yet.
func New(config Config) (*Cluster, error) {
	if config.Nodes < 1 || config.Nodes > maxNodes {
		return nil, fmt.Errorf("%d nodes: there can be 1 to %d", config.Nodes, maxNodes)
	}
	return &Cluster{config: config, cuts: map[[2]string]client.Cut{}, frozen: map[string]bool{}}, nil
}

// Root is the repository's folder.
func (c *Cluster) Root() string { return c.config.Root }

// Kubeconfig is the file for an administrator, who must be in the viewers' namespaces.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.config.State, "pki/admin.kubeconfig") }

// Socket is the path for client.Dial.
func (c *Cluster) Socket() string { return c.config.Socket }

// Viewers is the machine that is no node, on which tests run.
func (c *Cluster) Viewers() *machine.Machine { return c.viewers.Machine }

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.config.Out, "cluster: %5.1f s  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// Up starts the cluster, and returns when it can be used: with the chart installed. After an
// error too Down must be called.
func (c *Cluster) Up(ctx context.Context) error {
	c.began = time.Now()
	if err := os.RemoveAll(c.config.State); err != nil {
		return err
	}
	if err := os.MkdirAll(c.logs(), 0o755); err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.work, background = errgroup.WithContext(background)

	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.startControlPlane(ctx); err != nil {
		return err
	}
	c.say("API server ready")
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startViewers(ctx) })
	group.Go(func() error { return c.startNodes(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	c.work.Go(func() error { return newBalancer(c.api).Run(background) })
	return c.listen(background)
}

// startNodes returns when the operator runs on them.
func (c *Cluster) startNodes(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		group.Go(func() error {
			if err := n.start(groupCtx, c); err != nil {
				return err
			}
			if err := c.awaitReady(groupCtx, n.plan.Name); err != nil {
				return err
			}
			c.say("%s Ready", n.plan.Name)
			return nil
		})
	}
	group.Go(func() error { return c.applyAddons(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.awaitAddons(ctx); err != nil {
		return err
	}
	if err := c.install(ctx, c.ownChart(), ""); err != nil {
		return err
	}
	c.say("operator rolled out")
	return nil
}

// Down ends everything of the cluster. It may be called at any time after New.
func (c *Cluster) Down() error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	if c.socket != nil {
		_ = c.socket.Close() // and removes it
	}
	err := c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var wait sync.WaitGroup
	for _, h := range c.hosts() {
		wait.Go(h.powerOff)
	}
	wait.Wait()
	CleanUp(c.config.Name)
	entries, _ := os.ReadDir(c.config.State)
	for _, entry := range entries {
		if path := filepath.Join(c.config.State, entry.Name()); path != c.logs() {
			_ = os.RemoveAll(path)
		}
	}
	return err
}

// hosts are all machines that run.
func (c *Cluster) hosts() []*host {
	var hosts []*host
	for _, h := range []*host{c.viewers, c.control} {
		if h != nil {
			hosts = append(hosts, h)
		}
	}
	for _, n := range c.nodes {
		if n.host != nil {
			hosts = append(hosts, n.host)
		}
	}
	return hosts
}

func (c *Cluster) logs() string { return filepath.Join(c.config.State, "log") }

// connect makes the client of the API server. It dials from the control plane's machine,
// since nothing of the cluster can be reached from the host.
func (c *Cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return err
	}
	config.Dial = c.control.Dial
	config.QPS, config.Burst = 50, 100
	c.api, err = kubernetes.NewForConfig(config)
	return err
}

// kubectl runs kubectl as an administrator, with the given input.
func (c *Cluster) kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	return c.control.Output(ctx, stdin, "/run/kube/kubectl", append([]string{"--kubeconfig=/run/cluster/pki/admin.kubeconfig"}, args...)...)
}

// link joins a machine to the others: its eth0 to a port of the bridge, which is on the
// control plane's machine.
func (c *Cluster) link(ctx context.Context, h *host, address string) error {
	port := "to-" + h.Hostname()
	out, err := exec.CommandContext(ctx, "ip", "link", "add", port, "netns", fmt.Sprint(c.control.PID()),
		"type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.PID())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("link %s to the bridge: %w: %s", h.Hostname(), err, out)
	}
	if err := c.control.network(ctx, "link set "+port+" master cluster up"); err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		"addr add " + address + "/24 dev eth0",
		"link set eth0 up",
		"route add default via " + controlAddress,
	}
	return h.network(ctx, append(lines, c.podRoutes(address)...)...)
}

// podRoutes lead from the machine with the address to the pods of all other nodes.
func (c *Cluster) podRoutes(from string) []string {
	var lines []string
	for _, n := range c.nodes {
		if n.plan.Address != from {
			lines = append(lines, fmt.Sprintf("route add %s via %s", n.plan.PodCIDR, n.plan.Address))
		}
	}
	return lines
}

// baseMounts give a machine a /run of its own, with the programs and the cluster's files.
func (c *Cluster) baseMounts() []machine.Mount {
	return []machine.Mount{
		{Target: "/run"},
		{Source: c.config.State, Target: "/run/cluster"},
		{Source: filepath.Join(c.config.Root, ".cache/kube"), Target: "/run/kube"},
		{Source: filepath.Join(c.config.Root, ".cache/node"), Target: "/run/node"},
	}
}

// until asks again and again until it is so, at most for the time given.
func until(ctx context.Context, what string, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		once, cancelOnce := context.WithTimeout(ctx, 5*time.Second)
		err := ask(once)
		cancelOnce()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v: %w", what, limit, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ownGroup keeps Ctrl-C on a terminal from a process.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
