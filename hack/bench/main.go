// Command bench measures the built media server as its users meet it and prints a
// table: the server is a process of its own, ffmpeg publishes prepared files without
// encoding them, Chromium and pion viewers watch. It is what `make bench` runs; the
// machine should be otherwise idle. Everything stays on loopback.
//
// The operator's part runs the built operator on a real API server, with a stand-in for
// its media pods.
//
//	bench [-server FILE] [-operator FILE] [-runs N] [-viewers N,N,…] [-pairs N,N,…] [-kill=false] [-only PART]
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
	server   string
	operator string
	runs     int
	viewers  []int
	pairs    []int
	kill     bool
	only     string
}

func main() {
	var o options
	var viewers, pairs, watch string
	var count int
	flag.StringVar(&o.server, "server", "bin/streampair-mediaserver", "the media server's `FILE`")
	flag.IntVar(&o.runs, "runs", 20, "`N` faults of each kind")
	flag.StringVar(&viewers, "viewers", "50,100,200", "measure the cost of `N,N,…` viewers")
	flag.StringVar(&o.operator, "operator", "bin/streampair-operator", "the operator's `FILE`")
	flag.StringVar(&pairs, "pairs", "500,2000", "measure the operator with `N,N,…` pairs")
	flag.BoolVar(&o.kill, "kill", true, "kill the leading operator, too, and wait for 2 minutes until its lease ends")
	flag.StringVar(&o.only, "only", "", "measure one `PART`: kill, long-gop, silent, start, load, operator")
	flag.StringVar(&watch, "watch", "", "be the viewers of a WHEP `URL` (started by bench itself)")
	flag.IntVar(&count, "count", 0, "with -watch: `N` viewers")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if watch != "" {
		exitOn(beViewers(ctx, watch, count))
		return
	}
	var err error
	o.viewers, err = numbers("-viewers", viewers, 1000)
	exitOn(err)
	o.pairs, err = numbers("-pairs", pairs, 5000)
	exitOn(err)
	exitOn(run(ctx, o))
}

// numbers reads the value of a flag.
func numbers(flag, text string, highest int) ([]int, error) {
	var list []int
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > highest {
			return nil, fmt.Errorf("%s takes numbers from 1 to %d with commas, not %q", flag, highest, text)
		}
		list = append(list, n)
	}
	return list, nil
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := newScope(ctx)
	defer t.CleanUp()
	return t.try(func() {
		begun := time.Now()
		var tables []table
		for _, part := range []struct {
			name    string
			measure func(*scope, options) []table
		}{
			{"kill", measureKill}, {"long-gop", measureLongGOP}, {"silent", measureSilence}, {"start", measureStart}, {"load", measureLoad},
			{"operator", measureOperator},
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
