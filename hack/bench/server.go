package main

import (
	"encoding/json"
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
)

const manifest = `apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: bench}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`

// inputLoss is the input loss time in the manifest, which is the default.
const inputLoss = time.Second

// A server is the process of the media server.
type server struct {
	t         *scope
	cmd       *exec.Cmd
	once      sync.Once
	control   string
	addresses control.Addresses
}

func startServer(t *scope, binary string) *server {
	dir, err := os.MkdirTemp("", "streampair-bench")
	t.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "pair.yaml")
	t.must(os.WriteFile(file, []byte(manifest), 0o600))
	// The command port reports the other addresses,
	// so only its own address must be chosen here.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	t.must(err)
	s := &server{t: t, control: l.Addr().String()}
	t.must(l.Close())
	const free = "127.0.0.1:0"
	s.cmd = exec.Command(binary, "--pair", file, "--log-level", "error", "--control-address", s.control,
		"--rtmp-address", free, "--http-address", free, "--https-address", free, "--webrtc-address", free, "--probe-address", free)
	s.cmd.Stderr = os.Stderr
	t.must(s.cmd.Start())
	t.Cleanup(s.stop)
	t.until("the server answers", func() bool {
		st, err := s.status()
		s.addresses = st.Addresses
		return err == nil
	})
	return s
}

// stop ends the server. It may be called repeatedly.
func (s *server) stop() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait() // its messages were shown
	})
}

func (s *server) status() (control.Status, error) {
	var st control.Status
	answer, err := http.Get("http://" + s.control + "/v1/status")
	if err != nil {
		return st, err
	}
	defer func() { _ = answer.Body.Close() }()
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

func (s *server) pair() control.Pair {
	st, err := s.status()
	s.t.must(err)
	for _, p := range st.Pairs {
		if p.Name == "bench" {
			return p
		}
	}
	return control.Pair{}
}

func (s *server) rtmp(streamID string) string {
	return "rtmp://" + s.addresses.RTMP + "/live/" + streamID
}

func (s *server) http(path string) string { return "http://" + s.addresses.HTTP + "/live/" + path }

const pairQuery = "?backupStreamId=backup"

// load returns the share of one core that the server uses over the given time.
func (s *server) load(over time.Duration) float64 {
	before, begun := s.cpu(), time.Now()
	s.t.sleep(over)
	return float64(s.cpu()-before) / float64(time.Since(begun))
}

// cpu returns the CPU time that the server has used.
func (s *server) cpu() time.Duration { return cpuOf(s.t, s.cmd.Process.Pid) }

// memory returns the server's resident set, in bytes.
func (s *server) memory() int { return memoryOf(s.t, s.cmd.Process.Pid) }

// cpuOf returns the CPU time that a process has used.
func cpuOf(t *scope, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	t.must(err)
	// These are fields 14 and 15 of proc(5), in ticks
	// of 10 ms. The name in field 2 may contain blanks.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	t.must(err)
	system, err := strconv.Atoi(fields[12])
	t.must(err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memoryOf returns the resident set of a process, in bytes.
func memoryOf(t *scope, pid int) int {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	t.must(err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	t.must(err)
	return pages * os.Getpagesize()
}
