package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == InitArgument {
		Init()
	}
	if len(os.Args) == 2 && os.Args[1] == "boot" {
		bootAndWait()
	}
	os.Exit(m.Run())
}

// bootAndWait acts as a supervisor that the test kills.
func bootAndWait() {
	m, err := Boot(Config{Hostname: "orphan"})
	if err != nil {
		panic(err)
	}
	fmt.Println(m.PID())
	_ = m.Run(exec.Command("sleep", "4711"))
}

func start(t *testing.T, config Config) *Machine {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	m, err := Boot(config)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("only root of a host can make machines: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func output(t *testing.T, m *Machine, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := m.Output(ctx, nil, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func TestMachineIsItsOwn(t *testing.T) {
	shown := filepath.Join(t.TempDir(), "shown")
	if err := os.WriteFile(shown, []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := start(t, Config{Hostname: "alone", Mounts: []Mount{
		{Target: "/run"},
		{Source: shown, Target: "/run/folder/file"},
		{Source: shown, Target: "/proc/sys/kernel/panic"},
	}})
	defer m.PowerOff()
	for what, test := range map[string]struct {
		command []string
		want    string
	}{
		"host name":          {[]string{"uname", "-n"}, "alone"},
		"links":              {[]string{"sh", "-c", "grep -c : /proc/net/dev"}, "1"},
		"first process":      {[]string{"sh", "-c", "tr '\\0' ' ' </proc/1/cmdline"}, "/proc/self/exe " + InitArgument},
		"mounted file":       {[]string{"cat", "/run/folder/file"}, "from the host"},
		"nothing else":       {[]string{"ls", "/run"}, "folder"},
		"a value of its own": {[]string{"cat", "/proc/sys/kernel/panic"}, "from the host"},
	} {
		if got := output(t, m, test.command[0], test.command[1:]...); got != test.want {
			t.Errorf("%s: got %q, want %q", what, got, test.want)
		}
	}
	if content, _ := os.ReadFile("/proc/sys/kernel/panic"); string(content) == "from the host" {
		t.Error("a mount of the machine shows on the host")
	}
}

// On a machine unlike the developers', the reason is all that a user has.
func TestWhatKeepsAMachineFromStartingIsSaid(t *testing.T) {
	start(t, Config{Hostname: "may"}).PowerOff() // or skip
	missing := filepath.Join(t.TempDir(), "missing")
	for range 20 {
		m, err := Boot(Config{Hostname: "broken", Mounts: []Mount{{Source: missing, Target: "/run/missing"}}})
		if err == nil {
			m.PowerOff()
			t.Fatal("it started")
		}
		if want := "boot broken: open " + missing + ": no such file or directory"; err.Error() != want {
			t.Fatalf("got %q, want %q", err, want)
		}
	}
}

func TestDialFromTheMachinesNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	m := start(t, Config{Hostname: "caller"})
	defer m.PowerOff()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if conn, err := m.Dial(ctx, "tcp", l.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the machine reaches the host's loopback")
	}
}

func TestPowerOffEndsEverything(t *testing.T) {
	m := start(t, Config{Hostname: "short"})
	cmd := exec.Command("sh", "-c", "sleep 4711 & exec sleep 4712")
	ended := make(chan error, 1)
	go func() { ended <- m.Run(cmd) }()
	for strings.Count(output(t, m, "sh", "-c", "cat /proc/[0-9]*/comm; true"), "sleep") < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	m.PowerOff()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the command has ended as if nothing was")
		}
	case <-time.After(10 * time.Second):
		t.Error("the command runs on")
	}
}

// When the process that booted a machine is killed, nothing of the machine is left.
func TestMachineEndsWithItsSupervisor(t *testing.T) {
	start(t, Config{Hostname: "may"}).PowerOff() // or skip
	supervisor := exec.Command("/proc/self/exe", "boot")
	said, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(line)
	if err := supervisor.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait()
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			return
		}
	}
	t.Errorf("the machine's first process, %s, outlives its supervisor", pid)
}
