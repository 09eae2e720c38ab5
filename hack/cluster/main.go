// Command cluster runs a real Kubernetes with two nodes on this machine, with Streampair's
// chart installed. It runs in namespaces that leave nothing behind. It needs root on Linux.
//
//	cluster [flags] up                 runs it until interrupted
//	cluster [flags] demo               the same with a pair and its encoders, to watch
//	cluster [flags] run -- CMD ARGS…   runs CMD beside it, and ends it after CMD
//	cluster exec -- CMD ARGS…          runs CMD beside the cluster that runs already
//
// CMD runs on the machine for viewers and encoders, which reaches pods,
// nodes and Services. Its environment has KUBECONFIG, a PATH with kubectl,
// and STREAMPAIR_CLUSTER: the socket for faults, see hack/cluster/client.
//
// The cluster itself is in hack/cluster/kubernetes. This
// package has the command line and the changes of the host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/cluster/kubernetes"
	"github.com/streampair/streampair/hack/cluster/machine"
	"github.com/streampair/streampair/hack/interrupt"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == machine.InitArgument {
		machine.Init()
	}
	var o options
	flag.IntVar(&o.nodes, "nodes", 2, "number of `NODES`")
	flag.StringVar(&o.name, "name", "cluster", "`NAME` of the cluster, to tell several on one machine apart")
	flag.StringVar(&o.address, "address", "127.0.0.1:5080", "where demo serves the player on this host, as `HOST:PORT`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: cluster [flags] up | demo | run -- CMD ARGS… | exec -- CMD ARGS…")
		flag.PrintDefaults()
	}
	flag.Parse()
	// A first interrupt ends the cluster in order.
	// Even after a second one nothing is left behind.
	ctx, stop := interrupt.Context(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, o, flag.Args())
	var ended commandError
	switch {
	case errors.As(err, &ended):
		os.Exit(ended.code())
	case err != nil:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

type options struct {
	name    string
	nodes   int
	address string
}

func run(ctx context.Context, o options, args []string) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes namespaces, links and mounts of its own")
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(o.name) {
		return fmt.Errorf("-name %q: use lower case letters, digits and dashes", o.name)
	}
	if len(args) == 0 {
		flag.Usage()
		return errors.New("say what to do")
	}
	command := args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	switch {
	case args[0] == "up" && len(command) == 0:
		return up(ctx, o, func(ctx context.Context, c *kubernetes.Cluster) error {
			fmt.Println("cluster: it is up until Ctrl-C; bin/cluster exec -- kubectl get pods -A")
			<-ctx.Done()
			return nil
		})
	case args[0] == "demo" && len(command) == 0:
		l, err := net.Listen("tcp", o.address) // fail before a minute's work if the address is taken
		if err != nil {
			return fmt.Errorf("%w; choose another -address", err)
		}
		defer func() { _ = l.Close() }()
		return up(ctx, o, func(ctx context.Context, c *kubernetes.Cluster) error { return demo(ctx, c, l) })
	case args[0] == "run" && len(command) > 0:
		return up(ctx, o, func(ctx context.Context, c *kubernetes.Cluster) error {
			cmd := beside(command, c.Root(), c.Kubeconfig(), c.Socket())
			return runUntil(ctx, c.Viewers(), cmd)
		})
	case args[0] == "exec" && len(command) > 0:
		h, err := running(o.name)
		if err != nil {
			return err
		}
		viewers, err := machine.Attach("viewers", h.Viewers)
		if err != nil {
			return err
		}
		return runUntil(ctx, viewers, beside(command, h.Root, h.Kubeconfig, h.Socket))
	default:
		return fmt.Errorf("%q: say up, demo, run -- CMD ARGS… or exec -- CMD ARGS…", args)
	}
}

// up runs a cluster until use returns.
func up(ctx context.Context, o options, use func(context.Context, *kubernetes.Cluster) error) (err error) {
	root, err := repository()
	if err != nil {
		return err
	}
	h, err := claimHost(o.name)
	if err != nil {
		return err
	}
	defer h.release()
	c, err := kubernetes.New(kubernetes.Config{
		Name:   o.name,
		Root:   root,
		State:  filepath.Join(root, ".cache/cluster", o.name),
		Socket: filepath.Join(h.folder, "socket"),
		Nodes:  o.nodes,
		Out:    os.Stderr,
	})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(os.Stderr, "cluster: ending")
		if down := c.Down(); err == nil {
			err = down
		}
	}()
	if err := c.Up(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	if err := h.publish(c); err != nil {
		return err
	}
	return use(ctx, c)
}

// repository returns the folder above the bin folder of this program.
func repository() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	root := filepath.Dir(filepath.Dir(self))
	for _, needed := range []string{".cache/kube", ".cache/node", "bin/cluster-images", "bin/render"} {
		if _, err := os.Stat(filepath.Join(root, needed)); err != nil {
			return "", fmt.Errorf("%w; make cluster-binaries makes it, and puts this program in bin/", err)
		}
	}
	return root, nil
}

// beside returns the command, with the environment by which it finds the cluster.
func beside(command []string, root, kubeconfig, socket string) *exec.Cmd {
	path := filepath.Join(root, ".cache/kube") + ":" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH")
	_ = os.Setenv("PATH", path) // to look up the command itself
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, client.SocketVariable+"="+socket)
	return cmd
}

// runUntil runs a command. When ctx ends the command is told to end, and
// later killed. An interrupt on a terminal reaches the command directly.
func runUntil(ctx context.Context, m *machine.Machine, cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() {
		err := m.Run(cmd)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = commandError{exit}
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if cmd.Process != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		return <-ended
	}
}

// A commandError says how the user's command ended. The command has already reported why.
type commandError struct{ *exec.ExitError }

// code returns the exit code as a shell does.
func (e commandError) code() int {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return e.ExitCode()
}
