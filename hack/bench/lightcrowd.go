package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/hack/e2e/measure"
)

const (
	// joinAttempts is how often a light viewer opens a session until one is connected.
	joinAttempts = 4
	// One light viewer of sampleEvery decrypts and measures, if there is no other number, and at
	// least samplesAtLeast do.
	sampleEvery    = 10
	samplesAtLeast = 5
)

// A lightReport says what light viewers have received since the last report.
type lightReport struct {
	Packets, Bytes, Frames int64
	Missing, Reordered     int64
	Undecryptable          int64
	Dark                   int // viewers that have received no picture
	Retries                int // sessions, since the start, that did not connect
	Delays                 int // pictures whose delay was measured
	Fastest, P50, P99      time.Duration
}

// A legChange is when a viewer had the pictures of the leg that it sees, in ns since 1970. 0: it had none.
type legChange struct {
	Leg     int
	IDR     int64 // a whole IDR
	Current int64 // a picture that is not older than current
}

// add notes a whole picture.
func (c *legChange) add(p stampedPicture, arrival int64) {
	if p.leg() != c.Leg {
		*c = legChange{Leg: p.leg()}
	}
	if p.idr && c.IDR == 0 {
		c.IDR = arrival
	}
	if c.Current == 0 && time.Duration(arrival-p.ns) <= current {
		c.Current = arrival
	}
}

// A lightReader reads the sockets of many viewers, in one goroutine.
type lightReader struct {
	poller *lightPoller

	mu      sync.Mutex // guards all below, and what the viewers have received
	viewers []*lightViewer
	retries int
	bytes   map[int64]int // that came to all viewers, by the egressWindow since 1970. All must sample
}

// add makes the reader read the viewer's socket.
func (r *lightReader) add(v *lightViewer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.viewers = append(r.viewers, v)
	return r.poller.watch(v.socket, len(r.viewers)-1)
}

// join opens sessions of a viewer until one is connected.
func (r *lightReader) join(ctx context.Context, url string, certificate tls.Certificate, from netip.Addr, samples bool) (err error) {
	for range joinAttempts {
		v := &lightViewer{from: from, samples: samples}
		if err = v.join(ctx, url, r, certificate); err == nil || ctx.Err() != nil {
			return err
		}
		r.drop(v)
	}
	return err
}

// begin gives a viewer its keys.
func (r *lightReader) begin(v *lightViewer, keys *srtp.Context) {
	if v.samples {
		r.mu.Lock()
		defer r.mu.Unlock()
		v.keys = keys
	}
}

// drop makes the reader forget a session that has not connected. Its socket stays open, because a check
// may be on its way to it.
func (r *lightReader) drop(v *lightViewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retries++
	if i := slices.Index(r.viewers, v); i >= 0 {
		r.viewers[i] = nil
		r.poller.forget(v.socket)
	}
}

// run reads until the context ends.
func (r *lightReader) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		err := r.poller.wait(checkInterval, func(number int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if v := r.viewers[number]; v != nil {
				r.poller.read(v.socket, func(datagram []byte, arrival int64) {
					r.bytes[arrival/int64(egressWindow)] += len(datagram)
					v.receive(datagram, arrival)
				})
			}
		})
		if err != nil {
			return fmt.Errorf("wait for packets: %w", err)
		}
	}
	return nil
}

// renew keeps the consent of all viewers until the context ends.
func (r *lightReader) renew(ctx context.Context) error {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			r.mu.Lock()
			all := slices.Clone(r.viewers)
			r.mu.Unlock()
			for _, v := range all {
				if v != nil {
					v.renew(now)
				}
			}
		}
	}
}

// report returns what has been received since the last report.
func (r *lightReader) report() (out lightReport) {
	r.mu.Lock()
	var delays measure.Figures
	out.Retries = r.retries
	for _, v := range r.viewers {
		if v == nil {
			continue
		}
		t := &v.tally
		out.Packets, out.Bytes, out.Frames = out.Packets+t.packets, out.Bytes+t.bytes, out.Frames+t.frames
		out.Missing += t.videoSeq.missing + t.audioSeq.missing
		out.Reordered += t.videoSeq.reordered + t.audioSeq.reordered
		out.Undecryptable += v.broken
		if t.frames == 0 {
			out.Dark++
		}
		delays = append(delays, v.delays...)
		t.reset()
		v.delays, v.broken = v.delays[:0], 0
	}
	clear(r.bytes)
	r.mu.Unlock()
	out.Delays, out.Fastest, out.P50, out.P99 = len(delays), delays.Quantile(0), delays.Median(), delays.Quantile(0.99)
	return out
}

// A changeReport says when viewers who sample had pictures of the leg that they see.
type changeReport struct {
	Changes []legChange
	Most    int // bytes that came to all viewers within an egressWindow since the last report of any kind
}

// egressWindow is the time over which the rate of what viewers receive is measured. It is longer than
// the time between two live pictures, which nothing delays.
const egressWindow = time.Second

// changes returns when the viewers had the pictures of the leg that they see.
func (r *lightReader) changes() (out changeReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.viewers {
		if v != nil && v.samples {
			out.Changes = append(out.Changes, v.change)
			v.delays = v.delays[:0]
		}
	}
	for _, n := range r.bytes {
		out.Most = max(out.Most, n)
	}
	clear(r.bytes)
	return out
}

// beLightViewers holds n light viewers of a WHEP URL until its standard input ends. One of every
// decrypts. It prints "ready" once all are connected. For the line "changes" of the input it prints a
// changeReport, for others a lightReport.
func beLightViewers(ctx context.Context, url string, n, every int) error {
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return err
	}
	poller, err := newLightPoller()
	if err != nil {
		return err
	}
	r := &lightReader{poller: poller, bytes: make(map[int64]int)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return r.run(ctx) })
	work.Go(func() error { return r.renew(ctx) })
	joining, joinCtx := errgroup.WithContext(ctx)
	every = max(1, min(every, n/samplesAtLeast))
	for i := range n {
		joining.Go(func() error {
			if err := r.join(joinCtx, url, certificate, playerAddress(i), i%every == 0); err != nil {
				return fmt.Errorf("viewer %d of %s: %w", i+1, url, err)
			}
			return nil
		})
		time.Sleep(time.Second / joinsPerSecond)
	}
	if err := joining.Wait(); err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var answer any
		if in.Text() == "changes" {
			answer = r.changes()
		} else {
			answer = r.report()
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			return err
		}
	}
	cancel()
	if err := work.Wait(); err != nil {
		return err
	}
	return in.Err()
}
