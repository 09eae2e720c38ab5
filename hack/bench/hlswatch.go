package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/hack/e2e/measure"
)

const (
	// hlsJoinsPerSecond bounds how fast viewers of HLS join.
	hlsJoinsPerSecond = 250
	// hlsJoinLimit is how long all of them may take for their first part.
	hlsJoinLimit = 60 * time.Second
	// retryPause is how long a viewer waits after a failure.
	retryPause = 500 * time.Millisecond
)

// A hlsReport says what viewers of HLS got since the last report.
type hlsReport struct {
	Reloads          int
	Median, P99, Max time.Duration // lateness of the reloads
	Parts, Bytes     int64
	Failures         int64
	Failure          string // the first one
}

// An audience is many viewers of one multivariant playlist. Each has an address of its own.
type audience struct {
	playlist  *url.URL
	timelines sync.Map // of *timeline, by the place of the playlist in the multivariant playlist
	joined    sync.WaitGroup

	parts, bytes, failures atomic.Int64
	failure                atomic.Pointer[string]
}

// beHLSViewers holds n viewers until its standard input ends. It prints "ready" once all have had a
// part by a blocking reload. For each line of the input it prints a hlsReport.
func beHLSViewers(ctx context.Context, playlist string, n int) error {
	u, err := url.Parse(playlist)
	if err != nil {
		return err
	}
	a := &audience{playlist: u}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	viewers, ctx := errgroup.WithContext(ctx)
	a.joined.Add(n)
	startEach(viewers, n, hlsJoinsPerSecond, func(i int) { a.watch(ctx, i) })
	if err := a.waitForAll(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := json.NewEncoder(os.Stdout).Encode(a.report()); err != nil {
			return err
		}
	}
	cancel()
	_ = viewers.Wait() // no viewer returns an error
	return in.Err()
}

func (a *audience) waitForAll(ctx context.Context) error {
	all := make(chan struct{})
	go func() {
		a.joined.Wait()
		close(all)
	}()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(hlsJoinLimit):
		failure := "none has failed"
		if text := a.failure.Load(); text != nil {
			failure = *text
		}
		return fmt.Errorf("not all viewers of %s have had a part after %v: %s", a.playlist, hlsJoinLimit, failure)
	}
}

// watch is one viewer, until the context ends.
func (a *audience) watch(ctx context.Context, number int) {
	var once sync.Once
	for ctx.Err() == nil {
		if err := a.watchOnce(ctx, number, func() { once.Do(a.joined.Done) }); err != nil && ctx.Err() == nil {
			a.failures.Add(1)
			text := err.Error()
			a.failure.CompareAndSwap(nil, &text)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// watchOnce watches until something fails. It follows each playlist by a connection of its own.
func (a *audience) watchOnce(ctx context.Context, number int, joined func()) error {
	first := &fetcher{from: playerAddress(number), host: a.playlist.Host}
	defer first.close()
	answer, err := first.get(ctx, a.playlist.RequestURI())
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK {
		return fmt.Errorf("%s: %d %.100s", a.playlist, answer.status, answer.text)
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range playlistsOf(answer.text) {
		one := first
		if i > 0 {
			one = &fetcher{from: first.from, host: first.host, cookies: first.cookies}
			defer one.close()
		}
		times, _ := a.timelines.LoadOrStore(i, &timeline{})
		f := follower{audience: a, fetcher: one, target: beside(a.playlist.Path, name), timeline: times.(*timeline), joined: joined}
		group.Go(func() error { return f.run(ctx) })
	}
	return group.Wait()
}

func (a *audience) report() hlsReport {
	r := hlsReport{Parts: a.parts.Swap(0), Bytes: a.bytes.Swap(0), Failures: a.failures.Swap(0)}
	if text := a.failure.Swap(nil); text != nil {
		r.Failure = *text
	}
	var late measure.Figures
	a.timelines.Range(func(_, t any) bool {
		late = append(late, t.(*timeline).late()...)
		return true
	})
	r.Reloads, r.Median, r.P99, r.Max = len(late), late.Median(), late.Quantile(0.99), late.Worst()
	return r
}
