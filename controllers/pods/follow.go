package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"os"
	"time"
)

// follow keeps the pod's event stream open until ctx ends.
func (p *Streams) follow(ctx context.Context, d *pod) {
	delay := p.times.retryMin
	for {
		err := p.stream(ctx, d)
		if ctx.Err() != nil {
			p.left(d)
			return
		}
		held := p.lost(d, err)
		// A pod that answers and then fails, again and again,
		// is retried as slowly as one that does not answer.
		if held > p.times.retryMax {
			delay = p.times.retryMin
		}
		// Half of the delay is random. Otherwise all pods behind
		// one failed network switch would come back at once.
		delay = min(2*delay, p.times.retryMax)
		wait := time.NewTimer(delay/2 + rand.N(delay/2)) //nolint:gosec // no secret is made of it
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-d.retry:
			wait.Stop()
			delay = p.times.retryMin
		case <-wait.C:
		}
	}
}

// stream connects once and takes in statuses until
// the stream ends. It returns why the stream ended.
func (p *Streams) stream(ctx context.Context, d *pod) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	p.mu.Lock()
	target := d.target
	d.cut = cut
	p.mu.Unlock()

	err := p.readStream(ctx, d, target)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (p *Streams) readStream(ctx context.Context, d *pod, target Target) error {
	opening, opened := context.WithTimeout(ctx, p.times.connect)
	defer opened()
	x, err := p.open(opening, target, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer x.close()
	p.showed(d, target, x)
	if x.response.StatusCode != http.StatusOK {
		return x.refusal()
	}
	if kind, _, err := mime.ParseMediaType(x.response.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return fmt.Errorf("the pod answered with %.100q instead of an event stream", x.response.Header.Get("Content-Type"))
	}
	x.handOver(ctx)
	opened()
	events := newEventReader(x.response.Body, func() error {
		return x.conn.SetReadDeadline(time.Now().Add(p.times.silence))
	})
	pace := newPacer(time.Now())
	for {
		e, err := events.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return silentError{p.times.silence}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the pod closed the event stream")
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if e.name == "status" {
			status, err := decodeStatus(e.data)
			if err != nil {
				return err
			}
			p.received(d, status)
		}
		if wait := pace.charge(e.size, e.name != "", time.Now()); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
	}
}

// A silentError says that nothing was heard of a
// pod for a while although the connection is open.
type silentError struct{ silence time.Duration }

func (e silentError) Error() string { return fmt.Sprintf("the pod was silent for %v", e.silence) }

// A pacer bounds how much work one pod can cause. The media server
// sends at most ten statuses a second, far below this bound. A pod
// that sends faster is read more slowly, and TCP slows it down.
type pacer struct {
	left float64 // bytes that may still be read without waiting
	last time.Time
}

const (
	paceRate    = 1 << 20 // bytes a second
	paceBurst   = 2 << 20 // bytes
	paceEvent   = 8 << 10 // what an event costs beside its bytes
	paceComment = 512     // what any other line costs
)

func newPacer(now time.Time) *pacer { return &pacer{paceBurst, now} }

// charge notes what was read, and returns how long to wait before reading on.
func (p *pacer) charge(size int, event bool, now time.Time) time.Duration {
	p.left = min(paceBurst, p.left+now.Sub(p.last).Seconds()*paceRate)
	p.last = now
	p.left -= float64(size)
	if event {
		p.left -= paceEvent
	} else {
		p.left -= paceComment
	}
	if p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / paceRate * float64(time.Second))
}
