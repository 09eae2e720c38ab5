// Package kubernetes runs a real Kubernetes on one Linux machine, for tests. It has a
// machine with the control plane, nodes with containerd and kubelet, and a machine from
// which viewers and encoders reach the cluster. All run in namespaces that end with this
// process. On request the package takes nodes, links and programs away: see package client.
//
// The cluster is not for real work, because nothing
// survives its end. Cluster is where to start.
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

// Config says where things are. Folders are absolute paths.
type Config struct {
	// Name identifies a cluster among those of a host.
	Name string
	// Root is the repository's folder, with what the Makefile builds for the cluster.
	Root string
	// State is the folder for the cluster's files. It is emptied
	// at the start. At the end it is emptied except for the logs.
	State string
	// Socket is the path for client.Dial, at most 107 bytes long.
	Socket string
	// Nodes is the number of nodes, from 1 to 9.
	Nodes int
	// Out gets messages for a waiting user.
	Out io.Writer
}

// A Cluster is a Kubernetes cluster, which runs from Up to Down.
type Cluster struct {
	config Config
	began  time.Time

	// mu guards the following fields, because the clients of several tests make faults.
	mu      sync.Mutex
	control *host
	viewers *host
	nodes   []*node
	cuts    map[[2]string]client.Cut // by the pods' addresses, the lesser one first
	frozen  map[string]bool          // by the container ids with which they were frozen
	release map[string]string        // the installed objects of the chart, see objectsOf

	api    kubernetes.Interface
	cancel context.CancelFunc
	work   *errgroup.Group
	socket net.Listener
}

// New returns a cluster that is not running yet.
func New(config Config) (*Cluster, error) {
	if config.Nodes < 1 || config.Nodes > maxNodes {
		return nil, fmt.Errorf("%d nodes: there can be 1 to %d", config.Nodes, maxNodes)
	}
	return &Cluster{config: config, cuts: map[[2]string]client.Cut{}, frozen: map[string]bool{}}, nil
}

// Root returns the repository's folder.
func (c *Cluster) Root() string { return c.config.Root }

// Kubeconfig returns the file for an administrator. It only works in the viewers' namespaces.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.config.State, "pki/admin.kubeconfig") }

// Socket returns the path for client.Dial.
func (c *Cluster) Socket() string { return c.config.Socket }

// Viewers returns the machine on which tests run. It is not a node.
func (c *Cluster) Viewers() *machine.Machine { return c.viewers.Machine }

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.config.Out, "cluster: %5.1f s  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// Up starts the cluster, and returns when it can be used, with
// the chart installed. Down must be called even after an error.
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

// startNodes starts the nodes, and returns when the operator runs on them.
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

// hosts returns all running machines.
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

// connect makes the client of the API server. The client dials from the control
// plane's machine, because the host cannot reach anything of the cluster.
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

// link connects a machine to the others. The machine's eth0
// leads to a port of the bridge on the control plane's machine.
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

// podRoutes returns the routes from the machine
// with this address to the pods of all other nodes.
func (c *Cluster) podRoutes(from string) []string {
	var lines []string
	for _, n := range c.nodes {
		if n.plan.Address != from {
			lines = append(lines, fmt.Sprintf("route add %s via %s", n.plan.PodCIDR, n.plan.Address))
		}
	}
	return lines
}

// baseMounts returns the mounts that give a machine its
// own /run, with the programs and the cluster's files.
func (c *Cluster) baseMounts() []machine.Mount {
	return []machine.Mount{
		{Target: "/run"},
		{Source: c.config.State, Target: "/run/cluster"},
		{Source: filepath.Join(c.config.Root, ".cache/kube"), Target: "/run/kube"},
		{Source: filepath.Join(c.config.Root, ".cache/node"), Target: "/run/node"},
	}
}

// until calls ask again and again until it succeeds, at most for the limit.
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

// ownGroup protects a process from Ctrl-C on a terminal.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
