package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pidFolder is a folder in the cluster's folder. It has
// a file for each running program, with the process id.
const pidFolder = "pids"

// wrap writes a script that starts the program of that name after noting its process id,
// and returns its path. envtest starts its programs itself and does not report their ids.
func (c *Cluster) wrap(name string) (string, error) {
	path := filepath.Join(c.dir, name)
	script := fmt.Sprintf("#!/bin/sh\necho $$ >'%s'\nexec '%s' \"$@\"\n",
		filepath.Join(c.dir, pidFolder, name), filepath.Join(c.assets, name))
	return path, os.WriteFile(path, []byte(script), 0o700)
}

// kill kills a program.
func (c *Cluster) kill(name string) error {
	note, err := os.ReadFile(filepath.Join(c.dir, pidFolder, name))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(note)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// forget removes the note of a program that has ended, because another process may get its id.
func (c *Cluster) forget(name string) {
	_ = os.Remove(filepath.Join(c.dir, pidFolder, name)) // it does not matter if the note is gone already
}

// A reaper is a shell that ends the programs of a cluster and removes its files if the test
// binary ends without doing so: after a panic, the -timeout of go test, or a signal. The
// shell notices that by its standard input, whose other end only the test binary holds open.
type reaper struct {
	shell *exec.Cmd
	hold  io.Closer
}

const reap = `read -r _
for file in "$1/` + pidFolder + `"/*; do
	[ ! -f "$file" ] || kill -KILL "$(cat "$file")" 2>/dev/null
done
rm -rf "$1"`

func startReaper(dir string) (*reaper, error) {
	shell := exec.Command("/bin/sh", "-c", reap, "kubetest-reaper", dir)
	// In a process group of its own, the shell survives the Ctrl-C that ends the test.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	hold, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &reaper{shell: shell, hold: hold}, shell.Start()
}

// release ends the reaper. The cluster's folder must be gone already.
func (r *reaper) release() error {
	return errors.Join(r.hold.Close(), r.shell.Wait())
}

// A program is a process that this package itself started.
type program struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

func startProgram(log *os.File, path string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // that it ended is enough; the reason is in its log
	}()
	return p, nil
}

// stop ends the process, and returns once it has ended.
func (p *program) stop() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		err := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(fmt.Errorf("%s did not end within %v", filepath.Base(p.cmd.Path), stopTimeout), err)
	}
}

// startControllers starts kube-controller-manager, and returns once it works.
func (c *Cluster) startControllers() error {
	const name = "kube-controller-manager"

	certificates := c.env.ControlPlane.APIServer.CertDir
	ca := filepath.Join(certificates, "serving-ca.crt")
	if err := os.WriteFile(ca, c.Config.CAData, 0o600); err != nil {
		return err
	}
	path, err := c.wrap(name)
	if err != nil {
		return err
	}
	log, err := c.openLog(name)
	if err != nil {
		return err
	}
	c.controllers, err = startProgram(log, path,
		"--kubeconfig="+c.Kubeconfig(),
		"--root-ca-file="+ca,
		"--service-account-private-key-file="+filepath.Join(certificates, "sa-signer.key"),
		// No test needs its port.
		"--secure-port=0",
		"--leader-elect=false",
		// No node renews a lease here. The node lifecycle controller
		// would evict the pods of every node within a minute.
		"--controllers=*,-node-lifecycle-controller",
		// With the default of 20 requests a second, hundreds of Deployments would have to wait.
		"--kube-api-qps=500", "--kube-api-burst=1000")
	if err != nil {
		return err
	}

	admin, err := client.New(c.Config, client.Options{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	// Only a controller makes this account. The pods of a namespace need it too.
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-c.controllers.exited:
			return false, errors.New("it ended")
		default:
			return hasDefaultAccount(ctx, admin, "default"), nil
		}
	})
}

// hasDefaultAccount reports whether pods can be made in a
// namespace. Without the account the API server refuses them.
func hasDefaultAccount(ctx context.Context, c client.Client, namespace string) bool {
	return c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{}) == nil
}

// openLog opens the file for the output of a program.
func (c *Cluster) openLog(name string) (*os.File, error) {
	log, err := os.OpenFile(c.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		c.logs = append(c.logs, log)
	}
	return log, err
}

func (c *Cluster) logPath(name string) string { return filepath.Join(c.dir, name+".log") }

// logTails returns the end of the programs' output, for the error that they failed.
func (c *Cluster) logTails(names ...string) string {
	const lines = 15
	var tails strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(c.logPath(name))
		if err != nil || len(text) == 0 {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&tails, "\n--- %s said last:\n%s", name, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return tails.String()
}
