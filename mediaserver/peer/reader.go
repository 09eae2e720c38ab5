package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/streampair/streampair/mediaserver/pairtls"
)

// Reasons why a connection to the peer ends. They are values in metrics.
const (
	failedConnect   = "connect"   // nobody accepts the connection
	failedUntrusted = "untrusted" // whoever answers has not proved to be the peer
	failedRefused   = "refused"   // the peer refused the request
	failedClosed    = "closed"    // the peer closed it
	failedSilent    = "silent"    // nothing came for too long
	failedMalformed = "malformed" // the peer sent malformed data
	failedRoute     = "route"     // the peer is reached by another route from now on; not counted
)

// A failure is the end of a connection to the peer.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

var errEnded = errors.New("the peer ended its answer")

// MayResume reports whether the peer may still have what it was asked for, although the connection
// ended: nothing came, neither media nor an end of the answer, or another connection follows.
func MayResume(err error) bool {
	var f *failure
	if !errors.As(err, &f) {
		return false
	}
	var network net.Error
	return f.reason == failedSilent || f.reason == failedRoute || f.reason == failedConnect && errors.As(err, &network) && network.Timeout()
}

// A Reader asks one of the peers for one resource, again and again. A Reader is for one goroutine.
type Reader struct {
	client *Client
	// Base is the peer's base URL.
	Base string
	log  *slog.Logger
	// lostAt is when the connection was lost; zero: it is up. upSince is since when it may be up
	// again.
	lostAt, upSince time.Time
}

func (c *Client) reader(base, kind, name string) *Reader {
	return &Reader{client: c, Base: base, log: c.cfg.Logger.With("peer", base, kind, name)}
}

// Open asks the peer for path, and returns the body of the answer, which must be closed. The body
// can be read until the peer has been silent for too long.
func (r *Reader) Open(ctx context.Context, path string) (*AnswerBody, error) {
	directory := r.client.cfg.Peers
	route := directory.Route(r.Base)
	ctx, cancel := route.Bind(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, route.Base+path, nil)
	if err != nil {
		cancel(nil)
		return nil, &failure{failedConnect, fmt.Errorf("ask for %s: %w", path, err)}
	}
	if route.Clear { // over TLS the handshake proves more than a token does
		req.Header.Set("Authorization", "Bearer "+r.client.cfg.Token())
		req.Header.Set(relayHeader, "1")
	}
	res, err := r.client.http.Do(req) //nolint:bodyclose // AnswerBody closes it
	if err != nil {
		defer cancel(nil)
		directory.Failed(r.Base, route)
		return nil, unconnected(context.Cause(ctx), err)
	}
	b := &AnswerBody{body: res.Body, cancel: cancel, cause: func() error { return context.Cause(ctx) }, left: func() {}}
	b.silence = time.AfterFunc(silence, func() { cancel(errSilent) })
	if res.StatusCode != http.StatusOK {
		defer b.Close()
		if res.StatusCode == http.StatusForbidden {
			directory.Failed(r.Base, route) // the peer does not serve in clear
		}
		text, _ := io.ReadAll(io.LimitReader(b, maxRefusal))
		return nil, &failure{failedRefused, fmt.Errorf("the peer answers %s: %.200q", res.Status, text)}
	}
	b.left = directory.Joined(r.Base, route)
	return b, nil
}

// unconnected returns the failure of a request that was not answered. cause is why the request's
// context ended, if it did.
func unconnected(cause, err error) *failure {
	var unsaid *url.Error // would name the URL in each line of the log
	if errors.As(err, &unsaid) {
		err = unsaid.Err
	}
	var stranger *pairtls.Refusal
	switch {
	case errors.Is(cause, ErrRouteOver):
		return &failure{failedRoute, cause}
	case errors.As(err, &stranger):
		return &failure{failedUntrusted, fmt.Errorf("nothing was sent to whoever answers at the peer's address: %w", err)}
	}
	return &failure{failedConnect, fmt.Errorf("connect to the peer: %w", err)}
}

// Up notes that the peer sends what it was asked for.
func (r *Reader) Up() {
	switch {
	case r.lostAt.IsZero():
	case r.upSince.IsZero():
		r.upSince = time.Now()
	case time.Since(r.upSince) >= proven:
		r.log.Info("relay restored", "after", r.upSince.Sub(r.lostAt).Round(time.Millisecond))
		r.lostAt = time.Time{}
	}
}

// Lost notes the end of a connection, and waits until the next one is due. It reports whether there
// is to be a next one.
func (r *Reader) Lost(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	reason := failedClosed
	var f *failure
	if errors.As(err, &f) {
		reason = f.reason
	}
	if reason == failedRoute {
		return true // nothing is wrong
	}
	r.client.cfg.Metrics.RelayFailures.WithLabelValues(reason).Inc()
	if r.lostAt.IsZero() {
		r.lostAt = time.Now()
		r.log.Warn("relay lost", "reason", reason, "error", err)
	}
	r.upSince = time.Time{}
	within := min(max(retryWithin, time.Since(r.lostAt)/retryShare), seldom)
	if MayResume(err) {
		within = retryWithin // the failure has taken long enough
	}
	return Wait(ctx, within/10+rand.N(within-within/10)) //nolint:gosec // no secret: only two servers' moments must differ
}

// Wait waits for d, and reports whether ctx still goes on.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// An AnswerBody is the body of an endless answer.
type AnswerBody struct {
	body    io.ReadCloser
	cancel  context.CancelCauseFunc // ends the request
	cause   func() error            // why the request ended
	silence *time.Timer
	left    func() // notes that the peer no longer answers
}

// Read returns a failure as its error when the connection is of no further use.
func (b *AnswerBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.silence.Reset(silence)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(b.cause(), ErrRouteOver):
		return n, &failure{failedRoute, ErrRouteOver}
	case errors.Is(b.cause(), errSilent):
		return n, &failure{failedSilent, fmt.Errorf("%w for %v", errSilent, silence)}
	case errors.Is(err, io.EOF): // a parser would take io.EOF for an end of its own input
		return n, &failure{failedClosed, errEnded}
	}
	return n, &failure{failedClosed, fmt.Errorf("read from the peer: %w", err)}
}

// Refused returns err as the failure of a connection that cannot be used here.
func Refused(err error) error { return &failure{failedRefused, err} }

// Malformed returns err as a failure that the peer caused, unless err is a failure of the
// connection.
func Malformed(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{failedMalformed, err}
}

// Close ends the request.
func (b *AnswerBody) Close() {
	b.silence.Stop()
	b.cancel(nil)
	_ = b.body.Close()
	b.left()
}
