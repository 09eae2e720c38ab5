package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/hlscheck/rules"
)

// An hlsReader reads the playlist of a pair as a player of low latency does, and checks the rules
// that hold from one playlist to the next. It keeps all media.
type hlsReader struct {
	t   *testing.T
	url string // of the playlist
	// mayWait reports whether the server may answer that nothing has come.
	mayWait bool
	// mayShorten reports whether another playlist may take the place of this one: most segments are lost
	// at once, and what was announced does not come.
	mayShorten atomic.Bool

	mu       sync.Mutex // guards all below
	contents map[string][sha256.Size]byte
	segments []hlsSegment // that were complete, in order
	reads    int
	switched []time.Time // when each discontinuity was first read
	last     hlsPlaylist
	// grown is when the playlist last became longer, and slowest the longest time in which it did not.
	grown   time.Time
	slowest time.Duration

	rules rules.Checker // of the draft; for run only
}

type hlsSegment struct {
	sequence      int64
	discontinuity int64 // sequence number
	begins        bool  // whether EXT-X-DISCONTINUITY precedes it
	init, uri     string
	at            time.Time
	duration      time.Duration
	parts         []string
	section       []byte // the initialization section
	media         []byte
}

type hlsPlaylist struct {
	target   time.Duration
	segments []hlsSegment // the last may lack its uri
	hint     string
}

// parseHLS reads a playlist. segments that a delta update skips are taken from before.
func parseHLS(text string, before hlsPlaylist) (p hlsPlaylist, err error) {
	var sequence, discontinuity int64
	var next hlsSegment
	init := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		number, _ := strconv.ParseInt(value, 10, 64)
		attribute := func(name string) string {
			_, rest, _ := strings.Cut(value, name+`="`)
			found, _, _ := strings.Cut(rest, `"`)
			return found
		}
		switch name {
		case "#EXT-X-TARGETDURATION":
			p.target = time.Duration(number) * time.Second
		case "#EXT-X-MEDIA-SEQUENCE":
			sequence = number
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			discontinuity = number
		case "#EXT-X-SKIP":
			_, count, _ := strings.Cut(value, "=")
			skipped, _ := strconv.Atoi(count)
			for _, s := range before.segments {
				if s.sequence >= sequence && skipped > 0 {
					p.segments = append(p.segments, s)
					sequence, discontinuity, skipped, init = s.sequence+1, s.discontinuity, skipped-1, s.init
				}
			}
			if skipped > 0 {
				return p, fmt.Errorf("%d skipped segments are unknown", skipped)
			}
		case "#EXT-X-DISCONTINUITY":
			discontinuity++
			next.begins = true
		case "#EXT-X-MAP":
			init = attribute("URI")
		case "#EXT-X-PROGRAM-DATE-TIME":
			if next.at, err = time.Parse(time.RFC3339Nano, value); err != nil {
				return p, err
			}
		case "#EXT-X-PART":
			next.parts = append(next.parts, attribute("URI"))
		case "#EXTINF":
			seconds, _ := strconv.ParseFloat(strings.TrimSuffix(value, ","), 64)
			next.duration = time.Duration(seconds * float64(time.Second))
		case "#EXT-X-PRELOAD-HINT":
			p.hint = attribute("URI")
		default:
			if strings.HasPrefix(line, "#") || line == "" {
				continue
			}
			next.uri, next.sequence, next.discontinuity, next.init = line, sequence, discontinuity, init
			p.segments = append(p.segments, next)
			sequence++
			next = hlsSegment{}
		}
	}
	if len(next.parts) > 0 {
		next.sequence, next.discontinuity, next.init = sequence, discontinuity, init
		p.segments = append(p.segments, next)
	}
	return p, nil
}

func (r *hlsReader) get(ctx context.Context, url string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return body, res.StatusCode, err
}

// run reads until ctx ends.
func (r *hlsReader) run(ctx context.Context) {
	directives := ""
	for ctx.Err() == nil {
		body, status, err := r.get(ctx, r.url+directives)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && status == http.StatusServiceUnavailable && r.mayWait:
			continue
		case err != nil || status != http.StatusOK:
			r.t.Errorf("playlist: status %d, %v: %s", status, err, body)
			return
		}
		asked := strings.Contains(directives, "_HLS_skip")
		for _, breach := range r.rules.Next(rules.Fetch{Text: string(body), At: time.Now(), SkipAsked: asked}) {
			if excused := r.mayShorten.Load() && (breach.Rule == "window-short" || breach.Rule == "hint-kept"); !breach.Advice && !excused {
				r.t.Errorf("%v:\n%s", breach, body)
			}
		}
		p, err := parseHLS(string(body), r.last)
		if err != nil {
			r.t.Errorf("%v:\n%s", err, body)
			return
		}
		r.check(ctx, p)
		newest := p.segments[len(p.segments)-1]
		if newest.uri == "" {
			directives = fmt.Sprintf("&_HLS_msn=%d&_HLS_part=%d", newest.sequence, len(newest.parts))
		} else {
			directives = fmt.Sprintf("&_HLS_msn=%d&_HLS_part=0", newest.sequence+1)
		}
		if r.reads%2 == 0 {
			directives += "&_HLS_skip=YES"
		}
	}
}

// check compares a playlist with the playlist before, and fetches what is new.
func (r *hlsReader) check(ctx context.Context, p hlsPlaylist) {
	r.mu.Lock()
	before := r.last
	r.mu.Unlock()
	if before.target != 0 && p.target != before.target {
		r.t.Errorf("the target duration was %v and is %v", before.target, p.target)
	}
	known := make(map[int64]hlsSegment)
	for _, s := range before.segments {
		known[s.sequence] = s
	}
	for i, s := range p.segments {
		if was, ok := known[s.sequence]; ok && (was.discontinuity != s.discontinuity || !was.at.Equal(s.at) || was.init != s.init || was.uri != "" && was.uri != s.uri) {
			r.t.Errorf("segment %d was %+v and is %+v", s.sequence, was, s)
		}
		if i == 0 {
			continue
		}
		if _, ok := known[s.sequence]; !ok && s.begins {
			r.mu.Lock()
			r.switched = append(r.switched, time.Now())
			r.mu.Unlock()
		}
		previous := p.segments[i-1]
		if s.discontinuity < previous.discontinuity || !s.at.After(previous.at) {
			r.t.Errorf("%+v after %+v", s, previous)
		}
		if hole := s.at.Sub(previous.at.Add(previous.duration)); hole > p.target {
			r.t.Errorf("segment %d begins %v after its predecessor has ended", s.sequence, hole)
		}
		if s.duration.Round(time.Second) > p.target {
			r.t.Errorf("segment %d lasts %v", s.sequence, s.duration)
		}
	}
	r.noteGrowth(before, p)
	first, newest := p.segments[0], p.segments[len(p.segments)-1]
	if len(before.segments) > 0 && (first.sequence < before.segments[0].sequence || newest.sequence < before.segments[len(before.segments)-1].sequence) {
		r.t.Errorf("media sequence numbers go back from %d to %d", before.segments[0].sequence, first.sequence)
	}
	for i, s := range p.segments {
		var parts []byte
		for _, part := range s.parts {
			parts = append(parts, r.fetch(ctx, part)...)
		}
		if s.uri == "" || len(r.segments) > 0 && s.sequence <= r.segments[len(r.segments)-1].sequence {
			continue
		}
		whole := r.fetch(ctx, s.uri)
		if len(s.parts) > 0 && !bytes.Equal(parts, whole) && ctx.Err() == nil {
			r.t.Errorf("segment %d is not the sum of its parts", s.sequence)
		}
		p.segments[i].section, p.segments[i].media = r.fetch(ctx, s.init), whole
		r.mu.Lock()
		r.segments = append(r.segments, p.segments[i])
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.last = p
	r.reads++
	r.mu.Unlock()
}

// noteGrowth notes for how long the playlist stood still.
func (r *hlsReader) noteGrowth(before, p hlsPlaylist) {
	if len(before.segments) > 0 {
		was, is := before.segments[len(before.segments)-1], p.segments[len(p.segments)-1]
		if was.sequence == is.sequence && len(was.parts) == len(is.parts) {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.grown.IsZero() {
		r.slowest = max(r.slowest, now.Sub(r.grown))
	}
	r.grown = now
}

// stoodStill returns the longest time in which the playlist did not become longer, since the last
// call.
func (r *hlsReader) stoodStill() (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest, r.slowest = r.slowest, 0
	return longest
}

// fetch returns the content of a name, which must always be the same.
func (r *hlsReader) fetch(ctx context.Context, name string) []byte {
	body, status, err := r.get(ctx, r.url[:strings.LastIndex(r.url, "/")+1]+name)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || status != http.StatusOK || len(body) == 0 {
		r.t.Errorf("%s: status %d, %d bytes, %v", name, status, len(body), err)
		return nil
	}
	sum := sha256.Sum256(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.contents[path.Base(name)]; ok && known != sum {
		r.t.Errorf("%s has two contents", name)
	}
	r.contents[path.Base(name)] = sum
	return body
}
