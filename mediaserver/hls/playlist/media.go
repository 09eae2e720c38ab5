package playlist

import (
	"strconv"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
)

const (
	// version is EXT-X-VERSION. EXT-X-SKIP needs version 9 (draft section 8).
	version = 9
	// holdBack, skipUntil and partsOf are in target durations, and partHoldBack is in part target
	// durations: the least values that the draft allows (sections 4.4.3.8 and 6.2.2).
	holdBack     = 3
	skipUntil    = 6
	partsOf      = 3
	partHoldBack = 3

	timeFormat = "2006-01-02T15:04:05.000Z07:00"
)

// Media is a media playlist.
type Media struct {
	// Segments are the segments in order, at least one. Only the last one may be incomplete.
	Segments []*list.Segment
	// Target is TARGETDURATION, and PartTarget is PART-TARGET.
	Target, PartTarget time.Duration
	// Hint is the name of the next part; zero: none is known.
	Hint cut.Name
	// Prefix precedes every name, and Query follows it with its question mark. Both may be empty.
	Prefix, Query string
	// Skip asks for a delta update (_HLS_skip=YES).
	Skip bool
}

// Text returns the playlist.
func (m Media) Text() []byte {
	first := m.Segments[0]
	before := first.DiscontinuitySequence
	if first.Discontinuity {
		before-- // the tag still follows
	}
	w := writer{prefix: m.Prefix, query: m.Query}
	w.line("#EXTM3U")
	w.line("#EXT-X-VERSION:", strconv.Itoa(version))
	w.line("#EXT-X-TARGETDURATION:", strconv.Itoa(int(m.Target/time.Second)))
	w.line("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=", seconds(skipUntil*m.Target),
		",HOLD-BACK=", seconds(holdBack*m.Target), ",PART-HOLD-BACK=", seconds(partHoldBack*m.PartTarget))
	w.line("#EXT-X-PART-INF:PART-TARGET=", seconds(m.PartTarget))
	w.line("#EXT-X-MEDIA-SEQUENCE:", strconv.FormatInt(first.Sequence, 10))
	w.line("#EXT-X-DISCONTINUITY-SEQUENCE:", strconv.FormatInt(before, 10))
	skipped := 0
	if m.Skip {
		if skipped = m.skippable(); skipped > 0 {
			w.line("#EXT-X-SKIP:SKIPPED-SEGMENTS=", strconv.Itoa(skipped))
		}
	}
	withParts := m.withParts()
	var applied cut.Name // the initialization section
	for i, s := range m.Segments {
		if i < skipped {
			continue
		}
		if s.Discontinuity {
			w.line("#EXT-X-DISCONTINUITY")
		}
		if s.Run != nil && s.Run.Map != applied {
			applied = s.Run.Map
			w.line(`#EXT-X-MAP:URI="`, w.uri(applied), `"`)
		}
		w.line("#EXT-X-PROGRAM-DATE-TIME:", s.Time.UTC().Format(timeFormat))
		if i >= withParts {
			w.parts(s.Parts)
		}
		if s.Complete {
			w.line("#EXTINF:", seconds(s.Duration), ",")
			w.line(w.uri(s.Name))
		}
	}
	if m.Hint == (cut.Name{}) {
		// hls.js 1.7.4 takes the last line for the segment that comes next, if that line is a URI. It
		// then stops at the discontinuity that follows. A comment keeps it from that.
		w.line("# No part is announced.")
	} else {
		w.line(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`, w.uri(m.Hint), `"`)
	}
	return w.text
}

// skippable returns how many of the oldest segments a delta update leaves out: those that begin
// before the skip boundary (draft section 4.4.3.8).
func (m Media) skippable() (n int) {
	rest := time.Duration(0)
	for _, s := range m.Segments {
		rest += s.Duration
	}
	for n < len(m.Segments) && rest > skipUntil*m.Target {
		rest -= m.Segments[n].Duration
		n++
	}
	return max(n-1, 0) // the last of these crosses the boundary
}

// withParts returns the index of the first segment whose parts are told.
func (m Media) withParts() int {
	n, length := len(m.Segments), time.Duration(0)
	for n > 0 && length < partsOf*m.Target {
		n--
		length += m.Segments[n].Duration
	}
	return n
}

// seconds returns d as a decimal number of seconds.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 5, 64) }

// A writer appends lines.
type writer struct {
	text          []byte
	prefix, query string
}

func (w *writer) line(parts ...string) {
	for _, p := range parts {
		w.text = append(w.text, p...)
	}
	w.text = append(w.text, '\n')
}

func (w *writer) uri(n cut.Name) string { return w.prefix + n.String() + w.query }

func (w *writer) parts(parts []cut.Part) {
	for _, p := range parts {
		independent := ""
		if p.Independent {
			independent = ",INDEPENDENT=YES"
		}
		w.line("#EXT-X-PART:DURATION=", seconds(p.Duration), `,URI="`, w.uri(p.Name), `"`, independent)
	}
}
