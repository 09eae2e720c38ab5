// Package list keeps the order of the segments of one playlist, across publications and switches.
//
// The package is pure: it has no clock, no lock and no requests. A List has one writer. What is told
// to players follows from the List alone, so another server that has the same List tells the same.
// The writer shows its List to players only as far as the other server has it.
//
// Start with List.
package list

import (
	"cmp"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
)

// Config configures a List.
type Config struct {
	// First is the first media sequence number, and FirstDiscontinuity the first discontinuity
	// sequence number. A List that begins later must have higher ones: see Numbers.
	First, FirstDiscontinuity int64
	// Target is TARGETDURATION, whole seconds.
	Target time.Duration
	// Discontinuity and Shift are only set for a copy of another List: see List.Config. They report
	// whether EXT-X-DISCONTINUITY precedes the first segment, and by how much its time of day is
	// later than its media.
	Discontinuity bool
	Shift         time.Duration
}

const (
	// discontinuityEpoch and discontinuityUnit are in seconds: 2026-01-01 UTC, and ten minutes.
	discontinuityEpoch = 1767225600
	discontinuityUnit  = 600
)

// Numbers returns the first media sequence number and the first discontinuity sequence number of a
// List that begins at a time. Both follow from the clock, so that they grow when a server that
// remembers nothing begins again.
//
// The media sequence begins at the Unix time in seconds. The discontinuity sequence counts ten
// minutes, because hls.js 1.7.4 keeps an array that is as long as the number is high, and looks at
// all of it at each reload. With Unix seconds its page stands still for a minute. So the number
// goes back if there was more than one switch in ten minutes until the server began again. hls.js
// expects that where the media sequence has jumped.
func Numbers(begin time.Time) (media, discontinuity int64) {
	return begin.Unix(), max(begin.Unix()-discontinuityEpoch, 0) / discontinuityUnit
}

// A Segment is an entry of a List.
type Segment struct {
	// Name is the name of the whole segment.
	Name cut.Name
	Run  *cut.Run
	// Sequence is the media sequence number.
	Sequence int64
	// Discontinuity reports whether EXT-X-DISCONTINUITY precedes the segment. DiscontinuitySequence
	// counts these tags, including the segment's own.
	Discontinuity         bool
	DiscontinuitySequence int64
	// Time is the EXT-X-PROGRAM-DATE-TIME. It is never before the end of the previous segment.
	Time time.Time
	// Duration, Bytes and Pictures are the sums over Parts.
	Duration        time.Duration
	Bytes, Pictures int
	Parts           []cut.Part
	// Complete reports whether no part will be added.
	Complete bool
}

// A List is the ordered list of segments. It is for one goroutine.
type List struct {
	cfg      Config
	segments []*Segment
	next     int64 // media sequence number of the next segment
	run      *cut.Run
	sequence int64 // of discontinuities, of the newest segment
	// shift is by how much the times of day of the run are later than its media.
	shift time.Duration
	// shown is how far players see the List, from is the media sequence number from which they see
	// it, and visible are the segments that they see.
	shown   Position
	from    int64
	visible []*Segment
}

// A Position is how far a List goes, or how far a part of it does. The zero Position stands for an
// empty List.
type Position struct {
	// Sequence is the media sequence number of the newest segment, and Parts is how many parts the
	// segment has.
	Sequence int64
	Parts    int
	// Complete reports whether no part will be added to the segment.
	Complete bool
}

// Compare returns a negative number if p is before q, 0 if they are the same, and otherwise a
// positive number.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Sequence, q.Sequence), cmp.Compare(p.Parts, q.Parts), cmp.Compare(asInt(p.Complete), asInt(q.Complete)))
}

func asInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Position returns how far a List goes whose newest segment this is.
func (s *Segment) Position() Position { return Position{s.Sequence, len(s.Parts), s.Complete} }

// upTo returns the segment as it was with its first parts only.
func (s *Segment) upTo(parts int) *Segment {
	early := *s
	early.Parts, early.Complete = s.Parts[:parts:parts], false
	early.Duration, early.Bytes, early.Pictures = 0, 0, 0
	for _, p := range early.Parts {
		early.Duration += p.Duration
		early.Bytes += len(p.Data)
		early.Pictures += p.Pictures
	}
	return &early
}

// New returns an empty List.
func New(cfg Config) *List { return &List{cfg: cfg, next: cfg.First, sequence: cfg.FirstDiscontinuity} }

// Add appends a part. A part of another segment than the part before ends that segment.
func (l *List) Add(p cut.Part) {
	s := l.newest()
	if s == nil || s.Complete || s.Name != p.Name.Whole() {
		l.End()
		s = l.begin(p)
	}
	s.Parts = append(s.Parts, p)
	s.Duration += p.Duration
	s.Bytes += len(p.Data)
	s.Pictures += p.Pictures
	s.Complete = p.Last
}

// begin appends the segment that begins with p.
func (l *List) begin(p cut.Part) *Segment {
	s := &Segment{Name: p.Name.Whole(), Run: p.Run, Sequence: l.next, Time: p.Run.Epoch.Add(p.Start)}
	switch {
	case l.run == nil:
		s.Discontinuity, l.shift = l.cfg.Discontinuity, l.cfg.Shift
	case l.run != p.Run:
		s.Discontinuity = true
		// The leg that a switch puts on air begins with its last IDR, which may be older than what
		// was shown before. Times of day that overlap would be wrong (draft section 6.2.1).
		before := l.newest()
		l.shift = max(0, before.Time.Add(before.Duration).Sub(s.Time))
	}
	if s.Discontinuity {
		l.sequence++
	}
	s.DiscontinuitySequence = l.sequence
	s.Time = s.Time.Add(l.shift)
	l.next, l.run = l.next+1, p.Run
	l.segments = append(l.segments, s)
	return s
}

// End ends the newest segment, because no more parts of it will come.
func (l *List) End() {
	if s := l.newest(); s != nil {
		s.Complete = true
	}
}

func (l *List) newest() *Segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// All returns all segments, the oldest first. The caller must not change them. Only the last one
// may be incomplete.
func (l *List) All() []*Segment { return l.segments }

// Segments returns the segments that are shown to players. It is like All otherwise.
func (l *List) Segments() []*Segment { return l.visible }

// Head returns how far the List goes.
func (l *List) Head() Position {
	if s := l.newest(); s != nil {
		return s.Position()
	}
	return Position{}
}

// Shown returns how far players see the List.
func (l *List) Shown() Position { return l.shown }

// Show shows the List to players up to a position. What has been shown once stays so.
func (l *List) Show(p Position) {
	if p.Compare(l.shown) > 0 {
		l.shown = p
	}
	first, n := 0, len(l.segments)
	for n > 0 && l.segments[n-1].Sequence > l.shown.Sequence {
		n--
	}
	for first < n && l.segments[first].Sequence < l.from {
		first++
	}
	l.visible = l.segments[first:n:n]
	if first < n && l.segments[n-1].Position().Compare(l.shown) > 0 {
		l.visible = append(l.segments[first:n-1:n-1], l.segments[n-1].upTo(l.shown.Parts))
	}
}

// ShowAfter shows the List to players that have seen these segments of another one. Under each number,
// they must find the segment that they found before, and no time of day may go back (draft section
// 6.2.1). So the List is hidden up to the newest segment seen, unless it has that segment, too.
//
// The other List may have fewer segments for the same time. So a segment with a higher number may be
// older; such segments are hidden, too. What comes later is shown, even if the two clocks differ.
func (l *List) ShowAfter(seen []*Segment) {
	if len(seen) == 0 {
		return
	}
	newest := seen[len(seen)-1]
	l.from = newest.Sequence + 1
	for _, s := range l.segments {
		switch {
		case s.Sequence == newest.Sequence && s.Name == newest.Name:
			l.from = seen[0].Sequence
			l.Show(l.shown)
			return
		case s.Sequence >= l.from && !s.Time.After(newest.Time):
			l.from = s.Sequence + 1
		}
	}
	l.Show(l.shown)
}

// Hidden returns the first part that is not shown yet.
func (l *List) Hidden() (p cut.Part, ok bool) {
	for _, s := range l.segments {
		switch {
		case s.Sequence == l.shown.Sequence && len(s.Parts) > l.shown.Parts:
			return s.Parts[l.shown.Parts], true
		case s.Sequence > l.shown.Sequence:
			return s.Parts[0], true
		}
	}
	return cut.Part{}, false
}

// Config returns the configuration of a copy of the List. The copy must be given the same parts, and
// End where a segment has ended without a last part. It is empty if the List is.
func (l *List) Config() Config {
	cfg := l.cfg
	if len(l.segments) == 0 {
		return cfg
	}
	s := l.segments[0]
	cfg.First, cfg.FirstDiscontinuity, cfg.Discontinuity = s.Sequence, s.DiscontinuitySequence, s.Discontinuity
	if s.Discontinuity {
		cfg.FirstDiscontinuity--
	}
	cfg.Shift = s.Time.Sub(s.Run.Epoch.Add(s.Parts[0].Start))
	return cfg
}

// Edge returns the end of what the List has, as a time of day; zero: the List is empty.
func (l *List) Edge() time.Time {
	s := l.newest()
	if s == nil {
		return time.Time{}
	}
	return s.Time.Add(s.Duration)
}

// Next returns the media sequence number of the segment that comes after all in the List.
func (l *List) Next() int64 { return l.next }

// DiscontinuitySequence returns the discontinuity sequence number of the newest segment.
func (l *List) DiscontinuitySequence() int64 { return l.sequence }

// Target returns TARGETDURATION.
func (l *List) Target() time.Duration { return l.cfg.Target }

// Has reports whether the part of the segment with that media sequence number is shown, or all that
// precedes a later one. A negative part stands for the whole segment.
func (l *List) Has(sequence int64, part int) bool {
	switch {
	case l.shown.Sequence != sequence:
		return l.shown.Sequence > sequence
	case part < 0:
		return l.shown.Complete
	}
	return part < l.shown.Parts
}

// Trim removes the oldest segments that the window does not need, and returns them. What stays is at
// least as long as the window, and at least the newest keep segments.
func (l *List) Trim(window time.Duration, keep int) (removed []*Segment) {
	length := time.Duration(0)
	for _, s := range l.segments {
		length += s.Duration
	}
	n := 0
	for len(l.segments)-n > keep && length-l.segments[n].Duration >= window {
		length -= l.segments[n].Duration
		n++
	}
	removed = l.segments[:n:n]
	l.segments = append([]*Segment(nil), l.segments[n:]...)
	l.Show(l.shown)
	return removed
}
