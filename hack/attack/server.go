package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// memoryLimit bounds a server's memory, in bytes. A pod's default limit is twice as much.
const memoryLimit = 256 << 20

// startLimit bounds the time until a server's command port answers.
const startLimit = 30 * time.Second

// A server is the process of a media server in its own cgroup.
type server struct {
	cmd     *exec.Cmd
	group   *memoryGroup
	exited  chan struct{} // closed when the process has ended
	control *http.Client
	base    string // of the command port
	token   string
	log     *tail

	addresses control.Addresses
}

// A serverConfig says how to start a server.
type serverConfig struct {
	binary string
	name   string // of its cgroup
	args   []string
	token  string // of the command port; empty: none is needed
}

func startServer(ctx context.Context, cfg serverConfig) (*server, error) {
	group, err := newMemoryGroup(cfg.name, memoryLimit)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if cfg.token != "" {
		scheme = "https"
	}
	s := &server{
		group: group, exited: make(chan struct{}), control: insecureClient(nil), log: &tail{},
		base: fmt.Sprintf("%s://127.0.0.1:%d", scheme, port), token: cfg.token,
	}
	const free = "127.0.0.1:0"
	args := append([]string{
		"--control-address", fmt.Sprintf("127.0.0.1:%d", port), "--log-level", "warn",
		"--rtmp-address", free, "--srt-address", free, "--https-address", free, "--webrtc-address", free, "--probe-address", free,
	}, cfg.args...)
	s.cmd = exec.Command(cfg.binary, args...)
	s.cmd.Stderr = s.log
	// The operator sets the same share: nine tenths of the limit.
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%dKiB", memoryLimit/1024*9/10))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the media server: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // died reads ProcessState
		close(s.exited)
	}()
	if err := group.add(s.cmd.Process.Pid); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.awaitStart(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log)
	}
	return s, nil
}

func (s *server) awaitStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return until(ctx, "the media server answers", func() bool {
		st, err := s.status(ctx)
		s.addresses = st.Addresses
		return err == nil
	})
}

// stop ends the process.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.group.remove()
}

// died returns how the process ended unexpectedly; empty: it runs.
func (s *server) died() string {
	select {
	case <-s.exited:
		return s.cmd.ProcessState.String()
	default:
		return ""
	}
}

func (s *server) status(ctx context.Context) (control.Status, error) {
	var st control.Status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/v1/status", nil)
	if err != nil {
		return st, err
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.control.Do(request)
	if err != nil {
		return st, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return st, fmt.Errorf("status: %s", answer.Status)
	}
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

// pair returns the pair of that name as the server reports it.
func (s *server) pair(ctx context.Context, name string) control.Pair {
	st, err := s.status(ctx)
	if err != nil {
		return control.Pair{}
	}
	for _, p := range st.Pairs {
		if p.Name == name {
			return p
		}
	}
	return control.Pair{}
}

// isWhole reports whether a pair is on air and both legs could be.
func isWhole(p control.Pair) bool {
	for _, leg := range p.Legs {
		if leg.Rank != "Full" || !leg.EntryPoint {
			return false
		}
	}
	return p.OnAir && len(p.Legs) == 2
}

// samples returns the server's metrics without labels.
func (s *server) samples(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addresses.Probe+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.control.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	return measure.Samples(answer.Body)
}

// peakRSS returns the largest resident set that the
// process had, in bytes; 0: the process has ended.
func (s *server) peakRSS() int { return s.kibibytes("VmHWM:") << 10 }

// rss returns the resident set of the process, in bytes; 0: the process has ended.
func (s *server) rss() int { return s.kibibytes("VmRSS:") << 10 }

// kibibytes returns the value of a line of proc_pid_status(5).
func (s *server) kibibytes(line string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for one := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(one, line); found {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return n
		}
	}
	return 0
}

// until waits until the condition holds.
func until(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited until %s: %w", what, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// freePort returns a TCP port that nobody uses.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// A tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailBytes; n > 0 {
		t.text = bytes.Clone(t.text[n:])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// A memoryGroup is a cgroup that bounds memory, including the kernel's
// socket buffers. It does nothing if cgroups may not be made.
type memoryGroup struct{ folder string }

// cgroups is the folder of the kernel's cgroups. Version 1 has a folder for memory in it.
const cgroups = "/sys/fs/cgroup"

func newMemoryGroup(name string, limit int) (*memoryGroup, error) {
	parent, limitFile := filepath.Join(cgroups, "memory"), "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		parent, limitFile = cgroups, "memory.max"
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0o600)
	}
	g := &memoryGroup{folder: filepath.Join(parent, name)}
	err := os.Mkdir(g.folder, 0o755)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		say("no cgroup can be made here, so the server's memory is measured and not bounded: %v", err)
		return &memoryGroup{}, nil
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(g.folder, limitFile), []byte(strconv.Itoa(limit)), 0o600); err != nil {
		return nil, fmt.Errorf("bound the memory of a cgroup: %w", err)
	}
	return g, nil
}

func (g *memoryGroup) add(pid int) error {
	if g.folder == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(g.folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return fmt.Errorf("put a process into a cgroup: %w", err)
	}
	return nil
}

// peak returns the most memory that the group ever used, in bytes; 0: unknown.
func (g *memoryGroup) peak() int {
	for _, file := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if text, err := os.ReadFile(filepath.Join(g.folder, file)); err == nil {
			n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return n
		}
	}
	return 0
}

func (g *memoryGroup) remove() {
	if g.folder != "" {
		_ = os.Remove(g.folder)
	}
}
