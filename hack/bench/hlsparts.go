package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
)

// A position is that of a part: a segment's number, and the part's index in the segment.
type position struct {
	sequence int64
	part     int
}

func (p position) before(q position) bool {
	return p.sequence < q.sequence || p.sequence == q.sequence && p.part < q.part
}

// A part is a line EXT-X-PART of a playlist.
type part struct {
	position
	duration time.Duration
	uri      string
}

// partsFrom returns the parts of a media playlist from a position on, and the position after the
// last part.
func partsFrom(text []byte, from position) (parts []part, next position, err error) {
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(string(bytes.TrimSpace(line)), ":")
		switch {
		case name == "#EXT-X-MEDIA-SEQUENCE":
			next.sequence, err = strconv.ParseInt(value, 10, 64)
		case name == "#EXT-X-SKIP":
			var skipped int64
			skipped, err = strconv.ParseInt(attribute(value, "SKIPPED-SEGMENTS"), 10, 64)
			next.sequence += skipped
		case name == "#EXT-X-PART":
			if !next.before(from) {
				var seconds float64
				seconds, err = strconv.ParseFloat(attribute(value, "DURATION"), 64)
				parts = append(parts, part{next, time.Duration(seconds * float64(time.Second)), attribute(value, "URI")})
			}
			next.part++
		case name != "" && name[0] != '#':
			next = position{sequence: next.sequence + 1}
		}
		if err != nil {
			return nil, next, fmt.Errorf("%s: %w", name, err)
		}
	}
	return parts, next, nil
}

// reloadTarget returns the path and query that ask for a playlist once it has a part.
func reloadTarget(target string, p position) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return fmt.Sprintf("%s%s_HLS_msn=%d&_HLS_part=%d&_HLS_skip=YES", target, separator, p.sequence, p.part)
}

// attribute returns the value of an attribute, without its quotation marks; empty: there is none.
// No value in the lines that are read here has a comma.
func attribute(list, name string) string {
	for one := range strings.SplitSeq(list, ",") {
		if value, ok := strings.CutPrefix(one, name+"="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// A timeline knows when the parts of a playlist were due, judged by the one that came earliest of all.
// So whatever delays a reload counts as lateness, whether the delay is the server's, the viewers' or the
// encoder's. It is safe for concurrent use.
type timeline struct {
	mu     sync.Mutex // guards all below
	ends   map[position]time.Duration
	newest position
	end    time.Duration // of the newest part
	origin time.Time     // when the time 0 was due
	begins []time.Time   // when it would have been due, had the part of a reload been on time
}

// add notes the new parts that a viewer has read in a playlist.
func (t *timeline) add(parts []part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends == nil {
		t.ends = make(map[position]time.Duration)
	}
	for _, p := range parts {
		if len(t.ends) == 0 || t.newest.before(p.position) {
			t.end += p.duration
			t.ends[p.position], t.newest = t.end, p.position
		}
	}
}

// reloaded notes that a viewer has the playlist with the part that the viewer waited for.
func (t *timeline) reloaded(p position, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.ends[p]
	if !ok {
		return // it came before all others
	}
	begin := at.Add(-end)
	if t.origin.IsZero() || begin.Before(t.origin) {
		t.origin = begin
	}
	t.begins = append(t.begins, begin)
}

// late returns how late the reloads since the last call were.
func (t *timeline) late() (out measure.Figures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, begin := range t.begins {
		out = append(out, begin.Sub(t.origin))
	}
	t.begins = nil
	return out
}

// playlistsOf returns the names of the media playlists that a player of a multivariant playlist
// follows: of the variant, and of the sound if it has a playlist of its own.
func playlistsOf(multivariant []byte) (names []string) {
	for line := range bytes.Lines(multivariant) {
		text := string(bytes.TrimSpace(line))
		switch {
		case strings.HasPrefix(text, "#EXT-X-MEDIA:"):
			if name := attribute(text, "URI"); name != "" {
				names = append(names, name)
			}
		case text != "" && text[0] != '#':
			names = append(names, text)
		}
	}
	slices.Sort(names)
	return names
}
