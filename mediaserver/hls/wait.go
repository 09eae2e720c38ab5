package hls

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
)

// Errors of requests that were held and cannot be answered. Each text is one sentence for people.
var (
	errOver     = errors.New("the playlist has ended; ask again")
	errLate     = errors.New("no media has come for three target durations; ask again")
	errDark     = errors.New("nobody publishes this stream at the moment")
	errFull     = errors.New("as many requests wait here as the server holds; try again in a few seconds")
	errEnded    = errors.New("this request gave its place to another one; ask again")
	errNoHint   = errors.New("this part will not come: load the playlist again")
	errOff      = errors.New("HLS is off for this stream (spec.playback.hls.mode): play by WebRTC")
	errNotReady = errors.New("the stream is live and has no whole segment yet; ask again")
)

// await waits until cond is met. It holds p.mu while it calls cond. It returns nil, errOver, late
// after limit, or the error of ctx.
func (p *programme) await(ctx context.Context, limit time.Duration, late error, cond func() bool) error {
	var timeout <-chan time.Time
	for {
		p.mu.Lock()
		met, changed := cond(), p.changed
		p.mu.Unlock()
		if met {
			return nil
		}
		if timeout == nil {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-p.done:
			return errOver
		case <-timeout:
			return late
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold waits like await, behind the door for requests that wait.
func (h *Handler) hold(ctx context.Context, from netip.Prefix, p *programme, limit time.Duration, late error, cond func() bool) error {
	if p.await(ctx, 0, errLate, cond) == nil {
		return nil
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	place, err := h.waiting.Enter(from, func() { end(errEnded) })
	if err != nil {
		return errFull
	}
	defer place.Leave()
	place.Serve()
	if err := p.await(ctx, limit, late, cond); !errors.Is(err, context.Canceled) {
		return err
	}
	return context.Cause(ctx)
}

// holdUntilReady waits until there is something to play. While nobody publishes it waits for
// darkHold, and otherwise for coldHold.
func (h *Handler) holdUntilReady(ctx context.Context, from netip.Prefix, p *programme) error {
	err := h.hold(ctx, from, p, darkHold, errDark, p.isReady)
	if errors.Is(err, errDark) && p.source.isPublished() {
		return h.hold(ctx, from, p, coldHold, errNotReady, p.isReady)
	}
	return err
}

// holdForHint waits for a part that has been announced. It returns errNoHint if the part is not
// announced, or no longer.
func (h *Handler) holdForHint(ctx context.Context, from netip.Prefix, p *programme, name cut.Name) error {
	there := false
	err := h.hold(ctx, from, p, h.reloadLimit(p), errLate, func() bool {
		if p.store.pieces == nil {
			return true
		}
		_, there = p.store.pieces[name]
		return there || p.hint != name
	})
	if err == nil && !there {
		return errNoHint
	}
	return err
}

// reloadLimit is how long a request for what is to come is held: three target durations, as the
// draft says for playlists (section 6.2.5.2).
func (h *Handler) reloadLimit(p *programme) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 3 * p.plan.Target
}
