package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A crowd is a process that holds viewers or a publisher, so that their cost is not counted as the
// server's.
type crowd struct {
	t   *scope
	in  *os.File
	out *bufio.Scanner
	cmd *exec.Cmd
}

// gather starts this program with arguments that make it a crowd. It waits until the crowd is ready.
func gather(t *scope, args ...string) *crowd {
	self, err := os.Executable()
	t.must(err)
	c := &crowd{t: t, cmd: exec.Command(self, args...)}
	r, w, err := os.Pipe()
	t.must(err)
	c.in, c.cmd.Stdin, c.cmd.Stderr = w, r, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := c.cmd.StdoutPipe()
	t.must(err)
	t.must(c.cmd.Start())
	t.Cleanup(func() { _ = w.Close() })
	t.must(r.Close())
	c.out = bufio.NewScanner(stdout)
	if !c.out.Scan() || c.out.Text() != "ready" {
		t.Fatalf("the clients did not connect: bench %s", strings.Join(args, " "))
	}
	return c
}

// ask sends the crowd a line, and returns the line that the crowd answers.
func (c *crowd) ask(line string) string {
	_, err := fmt.Fprintln(c.in, line)
	c.t.must(err)
	if !c.out.Scan() {
		c.t.Fatalf("the clients have ended: %v", c.cmd.Args[1:])
	}
	return strings.TrimSpace(c.out.Text())
}

// cpu returns the CPU time that the crowd has used.
func (c *crowd) cpu() time.Duration { return cpuOf(c.t, c.cmd.Process.Pid) }

// leave ends the crowd.
func (c *crowd) leave() {
	c.t.must(c.in.Close())
	c.t.must(c.cmd.Wait())
}

// startEach starts n viewers, by their number, and at most so many in a second.
func startEach(viewers *errgroup.Group, n, perSecond int, be func(i int)) {
	for i := range n {
		viewers.Go(func() error {
			be(i)
			return nil
		})
		time.Sleep(time.Second / time.Duration(perSecond))
	}
}
