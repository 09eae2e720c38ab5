// Command bench measures the built media server as its users meet it and prints a
// table: the server is a process of its own, ffmpeg publishes prepared files without
// encoding them, Chromium and pion viewers watch. It is what `make bench` runs; the
// machine should be otherwise idle. Everything stays on loopback.
//
//	bench [-server FILE] [-runs N] [-viewers N,N,…] [-only PART]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	server  string
	runs    int
	viewers []int
	only    string
}

func main() {
	var o options
	var viewers, watch string
	var count int
	flag.StringVar(&o.server, "server", "bin/streampair-mediaserver", "the media server's `FILE`")
	flag.IntVar(&o.runs, "runs", 20, "`N` faults of each kind")
	flag.StringVar(&viewers, "viewers", "50,100,200", "measure the cost of `N,N,…` viewers")
	flag.StringVar(&o.only, "only", "", "measure one `PART`: kill, long-gop, silent, start, load")
	flag.StringVar(&watch, "watch", "", "be the viewers of a WHEP `URL` (started by bench itself)")
	flag.IntVar(&count, "count", 0, "with -watch: `N` viewers")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if watch != "" {
		exitOn(beViewers(ctx, watch, count))
		return
	}
	for _, word := range strings.Split(viewers, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 1000 {
			exitOn(fmt.Errorf("-viewers takes numbers from 1 to 1000 with commas, not %q", viewers))
		}
		o.viewers = append(o.viewers, n)
	}
	exitOn(run(ctx, o))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := newScope(ctx)
	defer t.close()
	return t.try(func() {
		begun := time.Now()
		var tables []table
		for _, part := range []struct {
			name    string
			measure func(*scope, options) []table
		}{
			{"kill", measureKill}, {"long-gop", measureLongGOP}, {"silent", measureSilence}, {"start", measureStart}, {"load", measureLoad},
		} {
			if o.only == "" || o.only == part.name {
				tables = append(tables, part.measure(t, o)...)
			}
		}
		fmt.Printf("\nMeasured on %s: %s, %d cores, %s, %v in all.\n",
			begun.Format("2006-01-02"), processor(), runtime.NumCPU(), runtime.Version(), time.Since(begun).Round(time.Second))
		for _, one := range tables {
			fmt.Printf("\n%s", one)
		}
	})
}

// processor is the name of the machine's.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
