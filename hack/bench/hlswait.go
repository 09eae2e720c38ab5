package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// waitAddresses is how many addresses the requests that wait come from.
	waitAddresses = 500
	// waitJoinsPerSecond bounds how fast they come.
	waitJoinsPerSecond = 2000
	// heldAfter is how long a request has been without an answer when it counts as held.
	heldAfter = time.Second
)

// A waitReport says how requests fare that wait for a part of a dark stream.
type waitReport struct {
	Answered    int           // requests that were answered with the part
	Spread      time.Duration // between the first of these answers and the last
	Ended       int64         // answers with 503, after which the viewer asked again
	Failures    int64
	FirstFailed string
}

// A moreReport says what requests were told that had no place.
type moreReport struct {
	Refused, Other int
	Words          string // of one refusal
	Took           time.Duration
}

// A queue is many viewers that wait for the next part of a media playlist.
type queue struct {
	target          string
	host            string
	asked           sync.WaitGroup // until all have sent their first request
	ended, failures atomic.Int64

	mu          sync.Mutex // guards all below
	answered    []time.Time
	firstFailed string
}

// beWaiting holds n requests for the next part of a media playlist until its standard input ends. It
// prints "ready" once all are held. A line "more N" sends N more requests, and prints a moreReport.
// For any other line it prints a waitReport.
func beWaiting(ctx context.Context, playlist string, n int) error {
	u, err := url.Parse(playlist)
	if err != nil {
		return err
	}
	q := &queue{target: u.RequestURI(), host: u.Host}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	viewers, ctx := errgroup.WithContext(ctx)
	q.asked.Add(n)
	startEach(viewers, n, waitJoinsPerSecond, func(i int) { q.wait(ctx, i) })
	q.asked.Wait()
	time.Sleep(heldAfter)
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var report any = q.report()
		if text, ok := strings.CutPrefix(in.Text(), "more "); ok {
			more, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			report = q.more(ctx, more)
		}
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			return err
		}
	}
	cancel()
	_ = viewers.Wait() // no viewer returns an error
	return in.Err()
}

// wait is one viewer. It asks for the next part until the part comes.
func (q *queue) wait(ctx context.Context, number int) {
	var once sync.Once
	sent := func() { once.Do(q.asked.Done) }
	defer sent()
	f := &fetcher{from: playerAddress(number % waitAddresses), host: q.host}
	defer f.close()
	for ctx.Err() == nil {
		target, err := q.reload(ctx, f)
		pause := retryPause
		if err == nil {
			sent()
			var a answer
			switch a, err = f.get(ctx, target); {
			case err != nil:
			case a.status == http.StatusOK:
				q.mu.Lock()
				q.answered = append(q.answered, time.Now())
				q.mu.Unlock()
				return
			case a.status == http.StatusServiceUnavailable:
				q.ended.Add(1)
				seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
				pause = time.Duration(seconds) * time.Second
			default:
				err = fmt.Errorf("%d %.100s", a.status, a.text)
			}
		}
		if err != nil && ctx.Err() == nil {
			q.failures.Add(1)
			q.mu.Lock()
			q.firstFailed = err.Error()
			q.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// reload loads the playlist as it is, and returns the target that asks for the part after it.
func (q *queue) reload(ctx context.Context, f *fetcher) (string, error) {
	a, err := f.get(ctx, q.target)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", fmt.Errorf("%d %.100s", a.status, a.text)
	}
	_, next, err := partsFrom(a.text, position{})
	return reloadTarget(q.target, next), err
}

func (q *queue) report() waitReport {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := waitReport{Answered: len(q.answered), Ended: q.ended.Load(), Failures: q.failures.Load(), FirstFailed: q.firstFailed}
	if len(q.answered) > 0 {
		r.Spread = q.answered[len(q.answered)-1].Sub(q.answered[0])
	}
	return r
}

// more sends n more requests from the same addresses, each by a connection of its own.
func (q *queue) more(ctx context.Context, n int) (r moreReport) {
	begun := time.Now()
	var mu sync.Mutex // guards r
	var senders errgroup.Group
	for sender := range waitAddresses {
		senders.Go(func() error {
			for range n / waitAddresses {
				f := &fetcher{from: playerAddress(sender), host: q.host}
				target, err := q.reload(ctx, f)
				var a answer
				if err == nil {
					a, err = f.get(ctx, target)
				}
				f.close()
				mu.Lock()
				if err == nil && a.status == http.StatusServiceUnavailable && len(a.text) > 0 {
					r.Refused, r.Words = r.Refused+1, strings.TrimSpace(string(a.text))
				} else {
					r.Other++
				}
				mu.Unlock()
			}
			return nil
		})
	}
	_ = senders.Wait() // no sender returns an error
	r.Took = time.Since(begun)
	return r
}
