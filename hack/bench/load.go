package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
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

// shares are repeated measurements of the share of one core.
type shares []float64

func (s shares) cells(per float64) []string {
	var f measure.Figures
	for _, one := range s {
		f = append(f, time.Duration(one/per*float64(time.Second)))
	}
	return []string{percent(f.Median().Seconds()), percent(f.Worst().Seconds())}
}

// percent returns a share in percent, with at least two digits that count.
func percent(share float64) string {
	if share < 0.001 {
		return fmt.Sprintf("%.3f %%", 100*share)
	}
	return fmt.Sprintf("%.2f %%", 100*share)
}

func loads(p *process) shares {
	p.t.sleep(settle)
	var out shares
	for range loadRuns {
		out = append(out, p.load(loadTime/loadRuns))
	}
	return out
}

// measureLoad measures what viewers and publishers cost the server.
func measureLoad(t *scope, o options) []table {
	s := startServer(t, o.server)
	defer s.stop()
	out := table{title: "Cost, 720p30 at 2.5 Mbit/s, shares of one core", header: "figure | median | worst | memory"}
	file := prepare(t, mediatest.Programme{Width: 1280, Height: 720, GOP: 2 * time.Second, BitrateBPS: 2_500_000})
	idle := loads(s.process).median()

	say("%d publishers", publishers)
	memory := s.memory()
	var encoders []*mediatest.Publisher
	for i := range publishers {
		encoders = append(encoders, publish(t, file, s.rtmp(fmt.Sprintf("publisher-%d", i))))
	}
	cost := loads(s.process).less(idle)
	out.row(append(append([]string{"one RTMP publisher (of " + strconv.Itoa(publishers) + ")"}, cost.cells(publishers)...),
		megabytes((s.memory()-memory)/publishers))...)
	for _, e := range encoders {
		e.Stop()
	}

	defer publish(t, file, s.rtmp("primary")).Stop()
	t.until("on air", func() bool { return s.pair().OnAir })
	base, memory := loads(s.process).median(), s.memory()
	for _, n := range o.viewers {
		say("%d viewers", n)
		c := gather(t, "-watch", s.http("whep/primary"+pairQuery), "-count", strconv.Itoa(n))
		begun, before := time.Now(), packets(c)
		cost := loads(s.process).less(base)
		rate := float64(packets(c)-before) / time.Since(begun).Seconds() / float64(n)
		cells := append([]string{fmt.Sprintf("one viewer of %d (%.0f packets a second received by each)", n, rate)}, cost.cells(float64(n))...)
		out.row(append(cells, megabytes((s.memory()-memory)/n))...)
		c.leave()
		t.until("all viewers are gone", func() bool { return s.pair().Viewers == 0 })
	}
	return []table{out}
}

// packets returns how many packets the viewers have received.
func packets(c *crowd) int {
	n, err := strconv.Atoi(c.ask(""))
	c.t.must(err)
	return n
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
