package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/streampair/streampair/hack/hlscheck/rules"
)

// A follower follows one media playlist. One goroutine runs it.
type follower struct {
	client  *client
	options options
	report  *report
	name    string // in what is printed; may be empty
	url     *url.URL
	checker rules.Checker
	media   mediaCheck

	fetched, blocked, deltas, held int
	at                             time.Time // of the last playlist
	ignored                        bool      // the last blocking reload came back at once
}

func newFollower(c *client, o options, r *report, name string, u *url.URL) *follower {
	f := &follower{client: c, options: o, report: r, name: name, url: u}
	f.media = mediaCheck{client: c, base: u, say: f.say}
	return f
}

func (f *follower) say(breaches ...rules.Breach) { f.report.add(f.name, breaches...) }

// String sums up what was fetched.
func (f *follower) String() string {
	return fmt.Sprintf("%s: %d playlists (%d by blocking reload, %d delta updates, %d held and refused), %d segments, %d parts, %d discontinuities, %.1f MB of media",
		f.url.Redacted(), f.fetched, f.blocked, f.deltas, f.held, f.media.segments, f.media.parts, f.media.discontinuities, float64(f.media.bytes)/1e6)
}

// mostFailures bounds how often in a row a playlist may not be had.
const mostFailures = 10

// run follows the playlist until it ends or the context does. It returns an error if the
// playlist could not be had.
func (f *follower) run(ctx context.Context) error {
	for failures := 0; ; {
		err := f.reload(ctx)
		if err == nil {
			failures = 0
			if last := f.checker.Last(); last != nil {
				err = f.media.look(ctx, last)
			}
		}
		last := f.checker.Last()
		switch {
		case errors.Is(err, errTooMuch):
			return err
		case ctx.Err() != nil && last == nil:
			return fmt.Errorf("no playlist of %s came in time", f.url.Redacted())
		case ctx.Err() != nil || err == nil && last != nil && last.EndList:
			return nil
		case err != nil:
			if failures++; failures >= mostFailures {
				return fmt.Errorf("follow %s: %w", f.url.Redacted(), err)
			}
		}
		wait(ctx, f.pause(last, err))
	}
}

// pause is how long to wait before the next reload. A blocking reload waits at the server.
func (f *follower) pause(last *rules.Media, err error) time.Duration {
	switch {
	case err != nil || last == nil:
		return time.Second
	case f.options.blocking && last.Control.CanBlockReload && !f.ignored:
		return 0
	case last.PartTarget > 0:
		return last.PartTarget
	}
	return last.TargetDuration / 2
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A request is what a reload asks for.
type request struct {
	skip           bool
	blocks, inPart bool
	msn            uint64
	part           int
}

// next decides what to ask for after a playlist. Every second reload asks for a delta update, so
// that updates are compared with whole playlists.
func next(last *rules.Media, age time.Duration, fetched int, blocking bool) request {
	if last == nil {
		return request{}
	}
	q := request{skip: fetched%2 == 1 && last.Control.CanSkipUntil > 0 && age < last.Control.CanSkipUntil/2}
	if blocking && last.Control.CanBlockReload {
		q.blocks, q.msn = true, last.Next()
		q.inPart, q.part = last.PartTarget > 0, len(last.Open.Parts)
	}
	return q
}

// query adds the request to the query of a URL (6.2.5).
func (q request) query(raw string) string {
	add := func(s string) {
		if raw != "" {
			raw += "&"
		}
		raw += s
	}
	if q.blocks {
		add(fmt.Sprintf("_HLS_msn=%d", q.msn))
	}
	if q.inPart {
		add(fmt.Sprintf("_HLS_part=%d", q.part))
	}
	if q.skip {
		add("_HLS_skip=YES")
	}
	return raw
}

// answers reports whether a playlist has what a blocking reload asked for (6.2.5.2).
func (q request) answers(m *rules.Media) bool {
	return !q.blocks || m.EndList || m.Next() > q.msn || q.inPart && m.Next() == q.msn && len(m.Open.Parts) > q.part
}

func (f *follower) reload(ctx context.Context) error {
	q := next(f.checker.Last(), time.Since(f.at), f.fetched, f.options.blocking)
	u := *f.url
	u.RawQuery = q.query(u.RawQuery)
	a, err := f.client.get(ctx, &u, rules.Resource{}, mostPlaylistBytes)
	if err != nil {
		return err
	}
	if a.status == http.StatusServiceUnavailable && q.blocks {
		f.held++
		return fmt.Errorf("status %d", a.status)
	}
	if a.status != http.StatusOK {
		f.say(rules.Breach{Rule: "playlist-status", Section: "6.2.1", Text: fmt.Sprintf("The playlist was answered with status %d.", a.status)})
		return fmt.Errorf("status %d", a.status)
	}
	if f.fetched++; f.fetched == 1 {
		f.say(a.identified()...)
	}
	before := f.checker.Last()
	f.say(f.checker.Next(rules.Fetch{Text: string(a.body), At: a.at, SkipAsked: q.skip})...)
	last := f.checker.Last()
	if last == before {
		return nil // it was no playlist, or an update that does not fit
	}
	f.at = a.at
	if q.blocks {
		f.blocked++
	}
	if q.skip {
		f.deltas++
	}
	if f.ignored = !q.answers(last); f.ignored {
		f.say(rules.Breach{Rule: "blocking-reload", Section: "6.2.5.2", Text: fmt.Sprintf(
			"The answer to _HLS_msn=%d and _HLS_part=%d ends with part %d of segment %d.", q.msn, q.part, len(last.Open.Parts)-1, last.Next())})
	}
	return nil
}
