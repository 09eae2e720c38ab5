// Command hlscheck follows a live HLS or LL-HLS stream, and checks its playlists and media
// against draft-pantos-hls-rfc8216bis-22:
//
//	go run ./hack/hlscheck [-for DURATION] [-blocking=false] [-strict] URL
//
// The URL is that of a multivariant playlist or of a media playlist, of any server. Playlists are
// fetched by blocking reloads, and each second one as a delta update, where the server offers
// that. Each new segment and part is fetched, and read if it is fragmented MP4.
//
// The exit code is 1 if a rule was broken, and 2 if the stream could not be followed. Advice is
// what the draft only recommends; -strict counts advice too. The rules are in hack/hlscheck/rules.
// Start from follower.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/hack/hlscheck/rules"
	"github.com/streampair/streampair/hack/interrupt"
)

// options are the values of the command line.
type options struct {
	duration time.Duration
	blocking bool
	strict   bool
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "for", 30*time.Second, "follow the stream for `DURATION`")
	flag.BoolVar(&o.blocking, "blocking", true, "use blocking reloads where the server offers them")
	flag.BoolVar(&o.strict, "strict", false, "fail on what the draft only recommends, too")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: hlscheck [-for DURATION] [-blocking=false] [-strict] URL")
		os.Exit(2)
	}
	ctx, stop := interrupt.Context(os.Interrupt, syscall.SIGTERM)
	r := &report{out: os.Stdout}
	err := run(ctx, o, flag.Arg(0), r)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "hlscheck:", err)
		os.Exit(2)
	case r.failed(o.strict):
		os.Exit(1)
	}
}

// mostPlaylists bounds how many media playlists of a multivariant playlist are followed.
const mostPlaylists = 16

// run follows what a URL names, and prints what it finds and a summary. It returns an error if
// the stream could not be followed.
func run(ctx context.Context, o options, address string, r *report) error {
	base, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("read the URL: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	c := newClient()
	first, err := c.get(ctx, base, rules.Resource{}, mostPlaylistBytes)
	if err != nil {
		return fmt.Errorf("fetch the playlist: %w", err)
	}
	if first.status != 200 {
		return fmt.Errorf("fetch the playlist: status %d", first.status)
	}
	defer r.summary()
	if !rules.IsMultivariant(string(first.body)) {
		return follow(ctx, r, []*follower{newFollower(c, o, r, "", first.url)})
	}
	r.add("", first.identified()...)
	r.add("", rules.Check(string(first.body))...)
	m, _ := rules.ParseMultivariant(string(first.body))
	var followers []*follower
	for _, uri := range m.URIs() {
		at, err := first.url.Parse(uri)
		if err != nil || len(followers) >= mostPlaylists {
			continue // a URI that cannot be resolved is told by a rule
		}
		followers = append(followers, newFollower(c, o, r, uri, at))
	}
	if len(followers) == 0 {
		return fmt.Errorf("the multivariant playlist names no media playlist")
	}
	if err := follow(ctx, r, followers); err != nil {
		return err
	}
	together(m, followers, r)
	return nil
}

// follow runs followers until the context ends, and prints their summaries.
func follow(ctx context.Context, r *report, followers []*follower) error {
	var g errgroup.Group
	for _, f := range followers {
		g.Go(func() error { return f.run(ctx) })
	}
	err := g.Wait()
	for _, f := range followers {
		r.print("%s\n", f)
	}
	return err
}

// together compares the media playlists of a multivariant playlist, and their bit rates.
func together(m *rules.Multivariant, followers []*follower, r *report) {
	byURI := make(map[string]*follower)
	for _, f := range followers {
		byURI[f.name] = f
		if f != followers[0] {
			r.add("", rules.CheckTogether(followers[0].name, followers[0].checker.Last(), f.name, f.checker.Last())...)
		}
	}
	for _, v := range m.Variants {
		// The bit rate of a variant with a group is the sum of several playlists.
		if f := byURI[v.URI]; f != nil && len(v.Groups) == 0 {
			last := f.checker.Last()
			r.add(v.URI, rules.CheckBandwidth(v, last.TargetDuration, f.media.sizes, last.EndList)...)
		}
	}
}
