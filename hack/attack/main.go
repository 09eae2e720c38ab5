package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/streampair/streampair/hack/interrupt"
)

// options are the values of the command line.
type options struct {
	server, before string
	only           string
	duration       time.Duration
	soak           time.Duration
	seed           uint64
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "bin/streampair-mediaserver", "the media server's `FILE`")
	flag.StringVar(&o.before, "before", "", "another build of the media server, `FILE`, to be measured beside it")
	flag.StringVar(&o.only, "only", "", "send the input of that `NAME` only")
	flag.DurationVar(&o.duration, "for", 15*time.Second, "send each input for `DURATION`")
	flag.DurationVar(&o.soak, "soak", 0, "send all inputs mixed for `DURATION` to a pair of two servers")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64(), "choose the order of a soak's inputs by `N`") //nolint:gosec // it decides an order
	flag.Parse()

	ctx, stop := interrupt.Context(os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if o.soak == 0 {
		return table(ctx, o, os.Stdout)
	}
	report, err := soak(ctx, soakConfig{
		binary: o.server, duration: o.soak, seed: o.seed,
		sendFor: 10 * time.Second, killEvery: time.Minute, logf: say,
	})
	if err != nil {
		return err
	}
	fmt.Print(report)
	return report.failure()
}

// say prints what is being done.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// raiseFileLimit lets this process hold as many connections
// as the inputs open. The servers inherit the limit.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	const wanted = 40_000
	limit.Cur = max(limit.Cur, min(wanted, limit.Max))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
