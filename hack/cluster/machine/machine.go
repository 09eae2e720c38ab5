// Package machine makes machines of the test cluster: a machine has namespaces of its own
// for network, processes, mounts and host name, and nothing of the host's network. It is
// started and ended like a computer: PowerOff is what pulling its plug would be.
//
// It is no container: it sees the host's files, apart from what Mounts replace, and its
// resources are not limited. Start from Machine.
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

// namespaces are those that a machine has of its own.
const namespaces = unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// InitArgument is the argument by which Boot calls this program again, as the machine's
// first process. The program's main must then call Init.
const InitArgument = "machine-init"

// Config is what a machine is made of.
type Config struct {
	// Hostname is also its name in errors.
	Hostname string
	// Mounts are made in this order, after the machine's own /proc.
	Mounts []Mount
}

// A Mount replaces a folder or a file for the processes of a machine.
type Mount struct {
	// Source is a folder or file of the host; empty: an empty file system in memory.
	Source string
	// Target is made if it is missing, which only a file system in memory should need.
	Target string
}

// A Machine runs until PowerOff, or until the process that booted it ends in whatever way.
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
		// Ctrl-C is for the program that booted it, which then ends the machine in order.
		Setpgid: true,
	}
	m := &Machine{config: config, pidfd: -1, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(m.ended)
		// The kernel sends the death signal when the thread ends that started the process:
		// a thread that is nobody else's ends when this goroutine does, or this program.
		runtime.LockOSThread()
		if err := init.Start(); err != nil {
			started <- err
			return
		}
		// It closes its output when it is up, and says before what failed. Read before Wait,
		// which would close the pipe.
		failure, err := io.ReadAll(said)
		if err == nil && len(failure) > 0 {
			err = errors.New(string(failure))
		}
		started <- err
		_ = init.Wait() // ended by PowerOff, or else what ran in it says so
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
		_ = init.Process.Kill() // unless it has ended by itself
		<-m.ended
		return nil, err
	}
	return m, nil
}

// Attach returns a machine that another process booted, by PID. It ends with that process.
func Attach(hostname string, pid int) (*Machine, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", hostname, err)
	}
	return &Machine{config: Config{Hostname: hostname}, pid: pid, pidfd: pidfd}, nil
}

// PID is of the machine's first process, as the host counts.
func (m *Machine) PID() int { return m.pid }

// Hostname is the machine's name.
func (m *Machine) Hostname() string { return m.config.Hostname }

// PowerOff kills all processes of the machine at once, without a word to them. It returns
// when nothing of the machine is left. A machine that Attach returned cannot be powered off.
func (m *Machine) PowerOff() {
	// With the first process the kernel kills all others of the PID namespace, and the
	// first is gone when they are.
	_ = unix.Kill(m.pid, unix.SIGKILL)
	<-m.ended
	// The descriptor stays open: by it the kernel tells who enters late that nobody is there.
}

// Run runs a command in the machine, until it ends. Its Path is one of the machine's, and
// if its Dir is empty it runs in the folder of the calling process. It ends with the machine
// at the latest.
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

// Output runs a program that is soon done, and returns what it prints.
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

// Dial connects from the machine's network. The address must be one of IP.
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
		// Never unlocked: the thread, which belongs elsewhere now, ends with the goroutine.
		runtime.LockOSThread()
		if namespaces&unix.CLONE_NEWNS != 0 {
			// Threads share root and working folder otherwise, and could not part.
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
