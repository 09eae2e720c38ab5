package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// soakWorkers is how many workers send, one input each at a time.
	soakWorkers = 3
	// sampleEvery is how often the servers' sizes are read.
	sampleEvery = 5 * time.Second
	// calm bounds the time after the last input until all is as before. Every
	// viewer has a picture again, and the servers have no more goroutines and
	// memory in use. Go collects garbage at least every 2 minutes.
	calm = 3 * time.Minute
	// lively bounds the gaps of a viewer that counts as watching.
	lively = time.Second
	// goroutineSlack, heapSlack and rssSlack are how much more than before a server may have.
	goroutineSlack = 200
	heapSlack      = 48 << 20
	rssSlack       = 48 << 20
)

// A soakConfig configures a soak.
type soakConfig struct {
	binary    string
	duration  time.Duration
	sendFor   time.Duration // how long a worker stays with an input
	killEvery time.Duration // how often the encoder on air is killed
	seed      uint64
	logf      func(format string, args ...any)
}

// A size is what a server uses.
type size struct {
	rss, goroutines int
	heap            int // bytes in use after the last garbage collection
}

// size returns the server's size, from its metrics.
func (s *server) size(samples map[string]float64) size {
	// With the default GOGC the next collection is due when the heap has doubled.
	return size{s.rss(), int(samples["go_goroutines"]), int(samples["go_memstats_next_gc_bytes"] / 2)}
}

// A soakReport is the result of a soak.
type soakReport struct {
	seed     uint64
	duration time.Duration
	kills    int
	came     map[string]*tally // by input
	gaps     []time.Duration   // the longest gap of each viewer
	sessions []int             // how many each viewer opened
	sizes    [][]size          // of each server, over time
	peaks    []int             // of each server's cgroup, in bytes
	problems []error
}

func (r *soakReport) failure() error { return errors.Join(r.problems...) }

// String returns the report as text.
func (r *soakReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "soak of %v, seed %d, %d encoders killed\n", r.duration, r.seed, r.kills)
	for _, in := range inputs() {
		if came := r.came[in.name]; came != nil {
			fmt.Fprintf(&b, "  %s: %s\n", in.name, came)
		}
	}
	for i := range r.gaps {
		fmt.Fprintf(&b, "  viewer %d: longest time without a new picture %v, %d sessions\n", i, r.gaps[i].Round(time.Millisecond), r.sessions[i])
	}
	for i, sizes := range r.sizes {
		fmt.Fprintf(&b, "  server %d: RSS in MiB", i)
		for _, one := range sizes {
			fmt.Fprintf(&b, " %d", one.rss>>20)
		}
		fmt.Fprint(&b, "; goroutines")
		for _, one := range sizes {
			fmt.Fprintf(&b, " %d", one.goroutines)
		}
		fmt.Fprintf(&b, "; peak with the kernel's buffers %s\n", mebibytes(r.peaks[i]))
	}
	return b.String()
}

// soak sends all inputs, mixed, to a pair of two servers, and regularly kills the encoder on
// air. It returns an error only if the soak could not be done. The report has the findings.
func soak(ctx context.Context, cfg soakConfig) (*soakReport, error) {
	s, err := newLoadedPair(ctx, 2, pairOfTwo(cfg.binary))
	if err != nil {
		return nil, err
	}
	defer s.end()
	r := &soakReport{seed: cfg.seed, duration: cfg.duration, came: map[string]*tally{}, sizes: make([][]size, len(s.servers))}
	for _, in := range inputs() {
		if !in.undeclared {
			r.came[in.name] = &tally{}
		}
	}
	cfg.logf("soak of %v: seed %d", cfg.duration, cfg.seed)
	before := s.sample(ctx, r)
	begin := time.Now()

	sending, stop := context.WithTimeout(ctx, cfg.duration)
	defer stop()
	var running sync.WaitGroup
	for worker := range soakWorkers {
		random := rand.New(rand.NewPCG(cfg.seed, uint64(worker))) //nolint:gosec // it decides an order
		running.Go(func() { sendMixed(sending, s, cfg.sendFor, random, r.came) })
	}
	running.Go(func() {
		for pause(sending, sampleEvery) {
			s.sample(sending, r)
		}
	})
	running.Go(func() {
		for pause(sending, cfg.killEvery) {
			if s.killActive(sending) {
				r.kills++
			}
		}
	})
	running.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.judge(ctx, s, cfg, before, begin)
	return r, nil
}

// sendMixed sends one input after another to either server until ctx ends.
func sendMixed(ctx context.Context, s *loadedPair, sendFor time.Duration, random *rand.Rand, came map[string]*tally) {
	for ctx.Err() == nil {
		all := inputs()
		for _, i := range random.Perm(len(all)) {
			if all[i].undeclared || ctx.Err() != nil {
				continue
			}
			one, cancel := context.WithTimeout(ctx, sendFor)
			all[i].send(one, s.servers[random.IntN(len(s.servers))].target(), came[all[i].name])
			cancel()
		}
	}
}

// killActive kills the encoder of the leg on air, and reports whether there was one.
func (s *loadedPair) killActive(ctx context.Context) bool {
	for _, one := range s.servers {
		switch one.pair(ctx, mainPair).Active {
		case "Primary":
			return s.encoders[0].Kill() == nil
		case "Backup":
			return s.encoders[1].Kill() == nil
		}
	}
	return false
}

// sample reads the sizes of the servers into the report, and returns them.
func (s *loadedPair) sample(ctx context.Context, r *soakReport) []size {
	now := make([]size, len(s.servers))
	for i, one := range s.servers {
		samples, err := one.samples(ctx)
		if err != nil {
			continue // the inputs attack its probe port too
		}
		now[i] = one.size(samples)
		r.sizes[i] = append(r.sizes[i], now[i])
	}
	return now
}

// judge waits until all is calm again, and notes what is not as before.
func (r *soakReport) judge(ctx context.Context, s *loadedPair, cfg soakConfig, before []size, begin time.Time) {
	ctx, cancel := context.WithTimeout(ctx, calm)
	defer cancel()
	problem := func(format string, args ...any) { r.problems = append(r.problems, fmt.Errorf(format, args...)) }

	for i, v := range s.viewers {
		err := until(ctx, "the viewer watches", func() bool {
			now := time.Now()
			return v.Pictures().LongestGap(now.Add(-2*lively), now).Length < lively
		})
		if err != nil {
			problem("viewer %d is lost for good: %w", i, err)
		}
		r.gaps = append(r.gaps, v.Pictures().LongestGap(begin, time.Now()).Length)
		r.sessions = append(r.sessions, v.Opened())
	}
	for i, one := range s.servers {
		if how := one.died(); how != "" {
			problem("server %d ended: %s\n%s", i, how, one.log)
		}
		var after size
		err := until(ctx, "what strangers took is given back", func() bool {
			samples, err := one.samples(ctx)
			if err != nil {
				return false
			}
			after = one.size(samples)
			return after.goroutines <= before[i].goroutines+goroutineSlack && after.heap <= before[i].heap+heapSlack
		})
		if err != nil {
			problem("server %d: %w: %d goroutines and %s of heap before, %d and %s after", i, err,
				before[i].goroutines, mebibytes(before[i].heap), after.goroutines, mebibytes(after.heap))
		}
		r.peaks = append(r.peaks, one.group.peak())
	}
	s.sample(ctx, r)
	if cfg.duration < 3*cfg.sendFor*time.Duration(len(r.came))/soakWorkers {
		return // in the first third not all inputs had been sent
	}
	for i, sizes := range r.sizes {
		if err := isFlat(sizes); err != nil {
			problem("server %d: %w", i, err)
		}
	}
}

// isFlat returns an error if a server has grown. It compares the peak of the last third
// of the time with that of the first third, in which all inputs had been sent already.
func isFlat(sizes []size) error {
	third := len(sizes) / 3
	if third == 0 {
		return fmt.Errorf("only %d sizes were read: the metrics were not answered", len(sizes))
	}
	byRSS := func(a, b size) int { return a.rss - b.rss }
	first, last := slices.MaxFunc(sizes[:third], byRSS), slices.MaxFunc(sizes[len(sizes)-third:], byRSS)
	if limit := first.rss*5/4 + rssSlack; last.rss > limit {
		return fmt.Errorf("it grew from %s to %s", mebibytes(first.rss), mebibytes(last.rss))
	}
	return nil
}
