package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a server that is measured.
type process struct {
	t    *scope
	pid  int
	cmd  *exec.Cmd // nil: somebody else has started the process
	once sync.Once
}

// startProcess starts a server, which ends with the scope. Its messages are shown.
func startProcess(t *scope, cmd *exec.Cmd) *process {
	p := &process{t: t, cmd: cmd}
	cmd.Stderr = os.Stderr
	t.must(cmd.Start())
	p.pid = cmd.Process.Pid
	t.Cleanup(p.stop)
	return p
}

// stop ends the process, if the bench has started it. It may be called repeatedly.
func (p *process) stop() {
	p.once.Do(func() {
		if p.cmd == nil {
			return
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait() // its messages were shown
	})
}

// load returns the share of one core that the process uses over the given time.
func (p *process) load(over time.Duration) float64 {
	before, begun := p.cpu(), time.Now()
	p.t.sleep(over)
	return float64(p.cpu()-before) / float64(time.Since(begun))
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu() time.Duration { return cpuOf(p.t, p.pid) }

// memory returns the resident set of the process, in bytes.
func (p *process) memory() int { return memoryOf(p.t, p.pid) }

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
