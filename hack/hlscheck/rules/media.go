package rules

import (
	"iter"
	"net/url"
	"path"
	"strings"
	"time"
)

// A Resource is what a URI names, or a byte range of what the URI names.
type Resource struct {
	URI    string // as the playlist has it
	Start  int64  // the first byte
	Length int64  // in bytes; zero for all bytes of the URI
}

// A Part is a Partial Segment (3.2).
type Part struct {
	Resource
	Duration    time.Duration
	Independent bool
	Gap         bool
}

// A Segment is a Media Segment (3) with the tags that apply to it.
type Segment struct {
	Resource
	Number        uint64 // its Media Sequence Number
	Discontinuity uint64 // its Discontinuity Sequence Number
	Duration      time.Duration
	Map           Resource // zero without EXT-X-MAP
	Key           string   // the attributes of EXT-X-KEY; empty if not encrypted
	Date          time.Time
	Gap           bool
	Parts         []Part
	// Starts is true if EXT-X-DISCONTINUITY stands before the segment.
	Starts bool

	ownMap, ownKey bool // the tag stands before this very segment
}

// A Hint is an EXT-X-PRELOAD-HINT tag.
type Hint struct {
	Type string // PART or MAP
	Resource
}

// A Report is an EXT-X-RENDITION-REPORT tag.
type Report struct {
	URI               string
	HasMSN, HasPart   bool
	LastMSN, LastPart uint64
}

// A Control is an EXT-X-SERVER-CONTROL tag. Durations are zero where they are not written.
type Control struct {
	CanSkipUntil, HoldBack, PartHoldBack          time.Duration
	CanSkipDateRanges, CanBlockReload             bool
	hasCanSkipUntil, hasHoldBack, hasPartHoldBack bool
}

// A Header has what applies to a whole media playlist and must not change.
type Header struct {
	TargetDuration      time.Duration
	PartTarget          time.Duration // zero without EXT-X-PART-INF
	Control             Control
	Type                string // EVENT, VOD or empty
	IFramesOnly         bool
	IndependentSegments bool
}

// Media is a media playlist.
type Media struct {
	Header
	MediaSequence         uint64
	DiscontinuitySequence uint64
	EndList               bool
	// Skipped is the number of segments that EXT-X-SKIP replaces. They are not in Segments.
	Skipped uint64
	// Segments are the complete segments. The first has the number MediaSequence plus Skipped.
	Segments []Segment
	// Open has the tags and parts after the last complete segment.
	Open    Segment
	Hints   []Hint
	Reports []Report

	syntax
	hasPartInf, hasSkip bool
}

// Duration is the sum of the durations of the segments that the playlist lists (4.1).
func (m *Media) Duration() time.Duration {
	var sum time.Duration
	for _, s := range m.Segments {
		sum += s.Duration
	}
	return sum
}

// Next is the number that follows the last complete segment's.
func (m *Media) Next() uint64 { return m.MediaSequence + m.Skipped + uint64(len(m.Segments)) }

// all yields the complete segments, and the open one if it has parts.
func (m *Media) all() iter.Seq[*Segment] {
	return func(yield func(*Segment) bool) {
		for i := range m.Segments {
			if !yield(&m.Segments[i]) {
				return
			}
		}
		if len(m.Open.Parts) > 0 {
			yield(&m.Open)
		}
	}
}

// hasParts reports whether the playlist lists a part.
func (m *Media) hasParts() bool {
	for s := range m.all() {
		if len(s.Parts) > 0 {
			return true
		}
	}
	return false
}

// number gives the segments their numbers, and what they inherit from the segments before them.
func (m *Media) number() {
	at := m.DiscontinuitySequence
	var before Segment
	give := func(s *Segment, number uint64) {
		if s.Starts {
			at++
		}
		s.Number, s.Discontinuity = number, at
		if !s.ownMap {
			s.Map = before.Map
		}
		if !s.ownKey {
			s.Key = before.Key
		}
		before = *s
	}
	for i := range m.Segments {
		give(&m.Segments[i], m.MediaSequence+m.Skipped+uint64(i))
	}
	give(&m.Open, m.Next())
}

// merged puts the segments that a Playlist Delta Update skipped back from the playlist before.
// It reports whether that playlist has all of them.
func (m *Media) merged(before *Media) (*Media, bool) {
	if m.Skipped == 0 {
		return m, true
	}
	if before == nil || m.MediaSequence < before.MediaSequence || m.MediaSequence+m.Skipped > before.Next() ||
		m.MediaSequence+m.Skipped < m.MediaSequence {
		return nil, false
	}
	from := m.MediaSequence - before.MediaSequence
	whole := *m
	whole.Segments = append([]Segment{}, before.Segments[from:from+m.Skipped]...)
	if len(whole.Segments) > 0 {
		// Its tags may have left the playlist with a segment before it.
		whole.Segments[0].ownMap, whole.Segments[0].ownKey = true, true
	}
	whole.Segments = append(whole.Segments, m.Segments...)
	whole.Skipped = 0
	whole.number()
	return &whole, true
}

// isFMP4 reports whether a URI has the suffix of a fragmented MP4 file.
func isFMP4(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".mp4", ".m4s", ".m4v", ".m4a", ".cmfv", ".cmfa":
		return true
	}
	return false
}
