// Package machine makes machines of the test cluster. A machine has its own namespaces
// for network, processes, mounts and host name, and nothing of the host's network. It
// is started and ended like a computer: PowerOff is like pulling its plug.
//
// A machine is not a container: it sees the host's files, except those that
// Mounts replace, and its resources are not limited. Machine is where to start.
package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces are the namespaces that each machine has for itself.
const namespaces = unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// InitArgument is the argument with which Boot starts this program again,
// as the machine's first process. The program's main must then call Init.
const InitArgument = "machine-init"

// Config configures a machine.
type Config struct {
	// Hostname is also the machine's name in errors.
	Hostname string
	// Mounts are made in this order, after the machine's own /proc.
	Mounts []Mount
}

// A Mount replaces a folder or a file for the processes of a machine.
type Mount struct {
	// Source is a folder or file of the host; empty: an empty file system in memory.
	Source string
	// Target is created if it is missing. Only a file system in memory should need that.
	Target string
}

// A Machine runs until PowerOff, or until the process that booted it ends for any reason.
type Machine struct {
	config Config
	pid    int
	pidfd  int
	ended  chan struct{}
}

// Boot starts a machine.
func Boot(config Config) (*Machine, error) {
	m, err := boot(config)
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", config.Hostname, err)
	}
	return m, nil
}

func boot(config Config) (*Machine, error) {
	setup, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	init := exec.Command("/proc/self/exe", InitArgument)
	init.Stdin = strings.NewReader(string(setup))
	said, err := init.StdoutPipe()
	if err != nil {
		return nil, err
	}
	init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		Pdeathsig:  syscall.SIGKILL,
		// Ctrl-C is only for the program that booted the
		// machine, which then ends the machine in order.
		Setpgid: true,
	}
	m := &Machine{config: config, pidfd: -1, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(m.ended)
		// The kernel sends the death signal when the thread that started the process
		// ends. A locked thread ends only with this goroutine or this program.
		runtime.LockOSThread()
		if err := init.Start(); err != nil {
			started <- err
			return
		}
		// The process closes its output when it is up, and writes before that what
		// failed. The output is read before Wait, which would close the pipe.
		failure, err := io.ReadAll(said)
		if err == nil && len(failure) > 0 {
			err = errors.New(string(failure))
		}
		started <- err
		_ = init.Wait() // PowerOff ended it, or its own programs report why
	}()
	err = <-started
	if init.Process == nil {
		return nil, err
	}
	m.pid = init.Process.Pid
	if err == nil {
		m.pidfd, err = unix.PidfdOpen(m.pid, 0)
	}
	if err != nil {
		_ = init.Process.Kill() // unless it has already ended
		<-m.ended
		return nil, err
	}
	return m, nil
}

// Attach returns a machine that another process
// booted, by PID. The machine ends with that process.
func Attach(hostname string, pid int) (*Machine, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", hostname, err)
	}
	return &Machine{config: Config{Hostname: hostname}, pid: pid, pidfd: pidfd}, nil
}

// PID returns the PID of the machine's first process, as the host sees it.
func (m *Machine) PID() int { return m.pid }

// Hostname returns the machine's name.
func (m *Machine) Hostname() string { return m.config.Hostname }

// PowerOff kills all processes of the machine at once, without warning. It returns
// when nothing of the machine is left. A machine from Attach cannot be powered off.
func (m *Machine) PowerOff() {
	// When the first process is killed, the kernel kills all others
	// of the PID namespace. The first one is gone once they are.
	_ = unix.Kill(m.pid, unix.SIGKILL)
	<-m.ended
	// The descriptor stays open. Through it the kernel
	// tells late callers that the machine is gone.
}

// Run runs a command in the machine, and returns when the command ends. The
// command's Path is a path in the machine. With an empty Dir it runs in the
// folder of the calling process. It ends with the machine at the latest.
func (m *Machine) Run(cmd *exec.Cmd) error {
	if cmd.Dir == "" {
		here, err := os.Getwd()
		if err != nil {
			return err
		}
		cmd.Dir = here
	}
	return m.within(namespaces, cmd.Run)
}

// Output runs a short program, and returns its output.
func (m *Machine) Output(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	var out, failure strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &failure
	if err := m.Run(cmd); err != nil {
		return "", fmt.Errorf("%s: %s: %w: %s", m.config.Hostname, strings.Join(cmd.Args, " "), err, strings.TrimSpace(failure.String()))
	}
	return out.String(), nil
}

// Dial connects from the machine's network. The address must be an IP address.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := m.within(unix.CLONE_NEWNET, func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// within calls f on a thread that is in the machine's namespaces.
func (m *Machine) within(namespaces int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so that it ends with
		// the goroutine. It now belongs to other namespaces.
		runtime.LockOSThread()
		if namespaces&unix.CLONE_NEWNS != 0 {
			// Otherwise threads share root and working folder,
			// and a single thread could not change them.
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				result <- fmt.Errorf("unshare: %w", err)
				return
			}
		}
		if err := unix.Setns(m.pidfd, namespaces); err != nil {
			result <- fmt.Errorf("enter %s: %w", m.config.Hostname, err)
			return
		}
		result <- f()
	}()
	return <-result
}
