// Package list keeps the order of the segments of one playlist, across publications and switches.
//
// The package is pure: it has no clock, no lock and no requests. A List has one writer. What is told
// to players follows from the List alone, so another server that has the same List tells the same.
//
// Start with List.
package list

import (
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
	// Epoch is the zero of the media clock as time of day.
	Epoch time.Time
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
	s := &Segment{Name: p.Name.Whole(), Run: p.Run, Sequence: l.next, Time: l.cfg.Epoch.Add(p.Start)}
	if l.run != nil && l.run != p.Run {
		s.Discontinuity = true
		l.sequence++
		// The leg that a switch puts on air begins with its last IDR, which may be older than what
		// was shown before. Times of day that overlap would be wrong (draft section 6.2.1).
		before := l.newest()
		l.shift = max(0, before.Time.Add(before.Duration).Sub(s.Time))
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

// Segments returns the segments, the oldest first. The caller must not change them. Only the last
// one may be incomplete.
func (l *List) Segments() []*Segment { return l.segments }

// Edge returns the end of what the List has, on the media clock; 0: the List is empty.
func (l *List) Edge() time.Duration {
	s := l.newest()
	if s == nil {
		return 0
	}
	return s.Time.Add(s.Duration).Sub(l.cfg.Epoch)
}

// Next returns the media sequence number of the segment that comes after all in the List.
func (l *List) Next() int64 { return l.next }

// DiscontinuitySequence returns the discontinuity sequence number of the newest segment.
func (l *List) DiscontinuitySequence() int64 { return l.sequence }

// Target returns TARGETDURATION.
func (l *List) Target() time.Duration { return l.cfg.Target }

// Has reports whether the List has the part of the segment with that media sequence number, or all
// that precedes a later one. A negative part stands for the whole segment.
func (l *List) Has(sequence int64, part int) bool {
	s := l.newest()
	switch {
	case s == nil || s.Sequence < sequence:
		return false
	case s.Sequence > sequence:
		return true
	case part < 0:
		return s.Complete
	}
	return part < len(s.Parts)
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
	return removed
}
