package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// A measurement of load takes loadTime. It begins after settle.
	settle   = 5 * time.Second
	loadTime = 15 * time.Second
	// loadRuns is how often each measurement is repeated.
	loadRuns = 5
	// publishers is how many publish at a time, to measure the cost of one.
	publishers = 8
	// joinsPerSecond bounds how fast viewers join, so that joining is not what is measured.
	joinsPerSecond = 25
)

// beViewers holds n viewers of a WHEP URL until its standard input ends. It prints
// "ready" once all are connected, and at the end how much each one received.
func beViewers(ctx context.Context, url string, n int) error {
	viewers := make([]*mediatest.Viewer, 0, n)
	for range n {
		v, err := mediatest.WatchWHEP(ctx, url, mediatest.WatchOptions{CountOnly: true})
		if err != nil {
			return err
		}
		defer v.Close()
		viewers = append(viewers, v)
		time.Sleep(time.Second / joinsPerSecond)
	}
	for _, v := range viewers {
		select {
		case <-v.Connected():
		case <-time.After(30 * time.Second):
			return fmt.Errorf("a viewer of %s is not connected after 30 s", url)
		}
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() { // each line asks for the number of packets received so far
		total := 0
		for _, v := range viewers {
			total += v.Video().Count + v.Audio().Count
		}
		fmt.Println(total)
	}
	return in.Err()
}

// A crowd is a process that holds viewers, so that their cost is not counted as the server's.
type crowd struct {
	t   *scope
	in  *os.File
	out *bufio.Scanner
	cmd *exec.Cmd
}

func gather(t *scope, s *server, n int) *crowd {
	self, err := os.Executable()
	t.must(err)
	c := &crowd{t: t, cmd: exec.Command(self, "-watch", s.http("whep/primary"+pairQuery), "-count", strconv.Itoa(n))}
	r, w, err := os.Pipe()
	t.must(err)
	c.in, c.cmd.Stdin, c.cmd.Stderr = w, r, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := c.cmd.StdoutPipe()
	t.must(err)
	t.must(c.cmd.Start())
	t.must(r.Close())
	c.out = bufio.NewScanner(stdout)
	if !c.out.Scan() || c.out.Text() != "ready" {
		t.Fatalf("the viewers did not connect")
	}
	return c
}

// packets returns how many packets the viewers have received.
func (c *crowd) packets() int {
	_, err := fmt.Fprintln(c.in)
	c.t.must(err)
	if !c.out.Scan() {
		c.t.Fatalf("the viewers have ended")
	}
	n, err := strconv.Atoi(strings.TrimSpace(c.out.Text()))
	c.t.must(err)
	return n
}

func (c *crowd) leave() {
	c.t.must(c.in.Close())
	c.t.must(c.cmd.Wait())
}

// shares are repeated measurements of the share of one core.
type shares []float64

func (s shares) cells(per float64) []string {
	var f measure.Figures
	for _, one := range s {
		f = append(f, time.Duration(one/per*float64(time.Second)))
	}
	percent := func(d time.Duration) string { return fmt.Sprintf("%.2f %%", 100*d.Seconds()) }
	return []string{percent(f.Median()), percent(f.Worst())}
}

func loads(t *scope, s *server) shares {
	t.sleep(settle)
	var out shares
	for range loadRuns {
		out = append(out, s.load(loadTime/loadRuns))
	}
	return out
}

// measureLoad measures what viewers and publishers cost the server.
func measureLoad(t *scope, o options) []table {
	s := startServer(t, o.server)
	defer s.stop()
	out := table{title: "Cost, 720p30 at 2.5 Mbit/s, shares of one core", header: "figure | median | worst | memory"}
	file := prepare(t, mediatest.Programme{Width: 1280, Height: 720, GOP: 2 * time.Second, BitrateBPS: 2_500_000})
	idle := loads(t, s).median()

	say("%d publishers", publishers)
	memory := s.memory()
	var encoders []*mediatest.Publisher
	for i := range publishers {
		encoders = append(encoders, publish(t, file, s.rtmp(fmt.Sprintf("publisher-%d", i))))
	}
	cost := loads(t, s).less(idle)
	out.row(append(append([]string{"one RTMP publisher (of " + strconv.Itoa(publishers) + ")"}, cost.cells(publishers)...),
		megabytes((s.memory()-memory)/publishers))...)
	for _, e := range encoders {
		e.Stop()
	}

	defer publish(t, file, s.rtmp("primary")).Stop()
	t.until("on air", func() bool { return s.pair().OnAir })
	base, memory := loads(t, s).median(), s.memory()
	for _, n := range o.viewers {
		say("%d viewers", n)
		c := gather(t, s, n)
		begun, before := time.Now(), c.packets()
		cost := loads(t, s).less(base)
		rate := float64(c.packets()-before) / time.Since(begun).Seconds() / float64(n)
		cells := append([]string{fmt.Sprintf("one viewer of %d (%.0f packets a second received by each)", n, rate)}, cost.cells(float64(n))...)
		out.row(append(cells, megabytes((s.memory()-memory)/n))...)
		c.leave()
		t.until("all viewers are gone", func() bool { return s.pair().Viewers == 0 })
	}
	return []table{out}
}

func (s shares) less(base float64) shares {
	out := make(shares, len(s))
	for i := range s {
		out[i] = s[i] - base
	}
	return out
}

func (s shares) median() float64 {
	var f measure.Figures
	for _, one := range s {
		f = append(f, time.Duration(one*float64(time.Second)))
	}
	return f.Median().Seconds()
}

func megabytes(bytes int) string { return fmt.Sprintf("%.2f MB", float64(bytes)/1e6) }
