package rules

import (
	"slices"
	"time"
)

// A Fetch is one answer to a request for a media playlist.
type Fetch struct {
	Text string
	// At is when the answer arrived.
	At time.Time
	// SkipAsked is true if the request had _HLS_skip.
	SkipAsked bool
}

// A Checker checks the successive media playlists of one URL. The zero value is ready. It must
// not be used by several goroutines at once.
type Checker struct {
	last *Media // the playlist before, whole
	// at is when last arrived; grew is when its last segment was first seen.
	at, grew time.Time
	names    names
	said     map[Breach]bool
}

// A step is a playlist and the playlist before it.
type step struct {
	before, after *Media // both whole
	served        *Media // after as it was served, perhaps a Playlist Delta Update
	fetch         Fetch
	still         time.Duration // since the last segment was first seen
	names         *names
}

// Next returns the breaches of the next playlist of the URL. A breach that was returned before
// is not returned again.
func (c *Checker) Next(f Fetch) []Breach {
	served, breaches := ParseMedia(f.Text)
	if len(breaches) > 0 && breaches[0].Rule == "header" {
		return c.once(breaches)
	}
	if served.hasSkip {
		breaches = append(breaches, apply(skipRules, served)...)
	}
	whole, ok := served.merged(c.last)
	if !ok {
		return c.once(append(breaches, apply(mergeRules, step{before: c.last, served: served, fetch: f, still: f.At.Sub(c.at)})...))
	}
	breaches = append(breaches, apply(mediaRules, whole)...)
	if c.last == nil || whole.Next() != c.last.Next() {
		c.grew = f.At
	}
	s := step{c.last, whole, served, f, f.At.Sub(c.grew), &c.names}
	switch {
	case c.last == nil:
		breaches = append(breaches, apply(nameRules, s)...)
	case s.renumbered():
		breaches = append(breaches, apply(stepRules, s)...)
	default:
		breaches = append(breaches, apply(slices.Concat(stepRules, entryRules, nameRules), s)...)
	}
	c.names.note(whole)
	c.last, c.at = whole, f.At
	return c.once(breaches)
}

// Last returns the last playlist, with the segments that were skipped, or nil.
func (c *Checker) Last() *Media { return c.last }

// mostSaid bounds the memory for breaches that were returned.
const mostSaid = 10_000

func (c *Checker) once(breaches []Breach) []Breach {
	var fresh []Breach
	for _, b := range breaches {
		if !c.said[b] {
			fresh = append(fresh, b)
		}
		if len(c.said) >= mostSaid || c.said == nil {
			c.said = make(map[Breach]bool)
		}
		c.said[b] = true
	}
	return fresh
}

// A place is what a name named.
type place struct {
	number, discontinuity uint64
	part                  int // -1 for a segment
	duration              time.Duration
	init                  Resource
}

// names remember what each segment and part was called. The oldest names are forgotten.
type names struct {
	places map[Resource]place
	order  []Resource
}

const mostNames = 1 << 16

// eachName calls f with each segment and part that has bytes.
func eachName(m *Media, f func(Resource, place)) {
	for s := range m.all() {
		if s.URI != "" && !s.Gap {
			f(s.Resource, place{s.Number, s.Discontinuity, -1, s.Duration, s.Map})
		}
		for i, p := range s.Parts {
			// The parts of a segment may be all of it (one part), which is no other content.
			if !p.Gap && p.Resource != s.Resource {
				f(p.Resource, place{s.Number, s.Discontinuity, i, p.Duration, s.Map})
			}
		}
	}
}

func (n *names) note(m *Media) {
	if n.places == nil {
		n.places = make(map[Resource]place)
	}
	eachName(m, func(r Resource, p place) {
		if _, ok := n.places[r]; ok {
			return
		}
		if len(n.order) >= mostNames {
			delete(n.places, n.order[0])
			n.order = n.order[1:]
		}
		n.places[r] = p
		n.order = append(n.order, r)
	})
}
