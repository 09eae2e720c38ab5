package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A result is the effect of an input.
type result struct {
	came             *tally
	died             string // how the server ended unexpectedly; empty: it runs
	heap, rss, group int    // peaks in bytes
	gap              time.Duration
	usual            time.Duration // the gap in an equally long time before, without an input
}

// table sends each input to a server of its own, and prints the results.
func table(ctx context.Context, o options, out io.Writer) error {
	builds := []struct{ name, file string }{{"", o.server}}
	if o.before != "" {
		builds = []struct{ name, file string }{{" (before)", o.before}, {" (after)", o.server}}
	}
	_, _ = fmt.Fprintf(out, "Each input for %v, at a server with %d MiB; gaps are those of two other viewers.\n\n", o.duration, memoryLimit>>20)
	_, _ = fmt.Fprintln(out, "| input | result | peak heap | peak RSS | peak with the kernel's buffers | longest gap | without the input |")
	_, _ = fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	sent := 0
	for _, in := range inputs() {
		if o.only != "" && o.only != in.name {
			continue
		}
		sent++
		for _, build := range builds {
			say("%s%s", in.name, build.name)
			r, err := try(ctx, build.file, in, o.duration)
			if err != nil {
				return fmt.Errorf("%s%s: %w", in.name, build.name, err)
			}
			_, _ = fmt.Fprintf(out, "| %s%s | %s | %s | %s | %s | %s | %s |\n", in.name, build.name, r.outcome(),
				mebibytes(r.heap), mebibytes(r.rss), mebibytes(r.group), milliseconds(r.gap), milliseconds(r.usual))
		}
	}
	if sent == 0 {
		return fmt.Errorf("-only %q names no input", o.only)
	}
	return nil
}

func (r result) outcome() string {
	if r.died != "" {
		return "**the server ended: " + r.died + "**; " + r.came.String()
	}
	return r.came.String()
}

func mebibytes(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// try sends one input to one server, for as long as the server was watched without it before.
func try(ctx context.Context, binary string, in input, duration time.Duration) (result, error) {
	declared := manifest
	if in.undeclared {
		declared = openManifest
	}
	s, err := newLoadedPair(ctx, 2, standalone(binary, declared))
	if err != nil {
		return result{}, err
	}
	defer s.end()
	quiet := time.Now()
	if !pause(ctx, duration) {
		return result{}, ctx.Err()
	}
	r := result{came: &tally{}}
	begin := time.Now()
	r.usual = s.longestGap(quiet, begin)

	server := s.servers[0]
	sending, stop := context.WithTimeout(ctx, duration)
	defer stop()
	go func() { // an input ends early if its server is gone
		select {
		case <-server.exited:
			stop()
		case <-sending.Done():
		}
	}()
	var heap atomic.Int64
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		for pause(sending, 250*time.Millisecond) {
			if samples, err := server.samples(sending); err == nil {
				heap.Store(max(heap.Load(), int64(samples["go_memstats_heap_inuse_bytes"])))
			}
			r.rss = max(r.rss, server.peakRSS())
		}
	}()
	in.send(sending, server.target(), r.came)
	<-measured
	r.died = server.died()
	r.heap, r.group = int(heap.Load()), server.group.peak()
	r.gap = s.longestGap(begin, time.Now())
	return r, ctx.Err()
}
