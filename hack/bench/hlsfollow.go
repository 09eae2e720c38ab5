package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A follower follows one media playlist, as players of low-latency HLS do: it reloads the playlist by
// requests that the server holds until there is a new part, and fetches each new part.
type follower struct {
	*audience
	fetcher  *fetcher
	target   string // path and query of the playlist
	timeline *timeline
	next     position // of the part that comes next
	joined   func()   // is called after each reload
}

// run follows until something fails.
func (f *follower) run(ctx context.Context) error {
	if _, err := f.load(ctx, f.target); err != nil {
		return err
	}
	for ctx.Err() == nil {
		awaited := f.next
		parts, err := f.load(ctx, reloadTarget(f.target, f.next))
		if err != nil {
			return err
		}
		f.timeline.reloaded(awaited, time.Now())
		f.joined()
		for _, p := range parts {
			n, err := f.fetcher.media(ctx, beside(f.target, p.uri))
			if err != nil {
				return err
			}
			f.parts.Add(1)
			f.bytes.Add(n)
		}
	}
	return ctx.Err()
}

// load loads the playlist, and returns the parts that are new in it.
func (f *follower) load(ctx context.Context, target string) ([]part, error) {
	a, err := f.fetcher.get(ctx, target)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %.100s", target, a.status, a.text)
	}
	parts, next, err := partsFrom(a.text, f.next)
	if err != nil {
		return nil, err
	}
	f.timeline.add(parts)
	f.next = next
	return parts, nil
}
