package rules

import (
	"fmt"
	"time"
)

// mergeRules are the rules about a Playlist Delta Update that does not fit the playlist before,
// or has none before.
var mergeRules = []rule[step]{
	{"skip-asked", "6.2.5.1", must, skipAsked},
	{"skip-unknown", "6.2.5.1", must, skipUnknown},
}

// stepRules are the rules about a playlist and the playlist before it.
var stepRules = []rule[step]{
	{"target-duration-fixed", "6.2.1", must, targetDurationFixed},
	{"header-fixed", "6.2.1", must, headerFixed},
	{"skip-asked", "6.2.5.1", must, skipAsked},
	{"skip-ignored", "6.2.5.1", must, skipIgnored},
	{"media-sequence", "6.2.2", must, mediaSequence},
	{"media-sequence-count", "6.2.2", must, mediaSequenceCount},
	{"discontinuity-sequence", "6.2.2", must, discontinuitySequence},
	{"window-short", "6.2.2", must, windowShort},
	{"type-removal", "6.2.1", must, typeRemoval},
	{"endlist-final", "4.4.3.4", must, endListFinal},
	{"segment-late", "6.2.1", must, segmentLate},
}

// entryRules compare segments and parts by their numbers. They are left out where the numbers
// are wrong, which is one mistake and not many.
var entryRules = []rule[step]{
	{"discontinuity-sequence-count", "6.2.2", must, discontinuitySequenceCount},
	{"entry-changed", "6.2.1", must, entryChanged},
	{"part-changed", "6.2.1", must, partChanged},
	{"end-back", "6.2.1", must, endBack},
	{"hint-kept", "4.4.5.3", must, hintKept},
	{"date-back", "6.2.1", must, dateBack},
}

// nameRules are the rules about names that stood in any playlist before, or in this one.
var nameRules = []rule[step]{
	{"name-reused", "6.2.1", must, nameReused},
	{"name-repeated", "6.2.1", should, nameRepeated},
}

// skipUnknown accuses the server only where a client may ask for an update (6.3.7): with a
// playlist younger than half of the skip boundary.
func skipUnknown(s step, say say) {
	if s.before != nil && s.still <= s.served.Control.CanSkipUntil/2 {
		say("EXT-X-SKIP replaces segments %d to %d, and the playlist before had %d to %d.", s.served.MediaSequence,
			s.served.MediaSequence+s.served.Skipped-1, s.before.MediaSequence, s.before.Next()-1)
	}
}

func targetDurationFixed(s step, say say) {
	if s.before.TargetDuration != s.after.TargetDuration {
		say("EXT-X-TARGETDURATION changed from %v to %v.", s.before.TargetDuration, s.after.TargetDuration)
	}
}

func headerFixed(s step, say say) {
	before, after := s.before.Header, s.after.Header
	before.TargetDuration = after.TargetDuration
	if before != after {
		say("The tags of the whole playlist changed from %+v to %+v.", before, after)
	}
}

func skipAsked(s step, say say) {
	if s.served.hasSkip && !s.fetch.SkipAsked {
		say("EXT-X-SKIP stands in a playlist that was asked for without _HLS_skip.")
	}
}

func skipIgnored(s step, say say) {
	boundary := s.served.Control.CanSkipUntil
	if !s.fetch.SkipAsked || s.served.hasSkip || boundary == 0 || s.served.EndList || len(s.served.Segments) == 0 {
		return
	}
	if s.served.Duration()-s.served.Segments[0].Duration >= boundary {
		say("The answer to _HLS_skip has no EXT-X-SKIP, and segment %d is beyond the skip boundary.", s.served.MediaSequence)
	}
}

func mediaSequence(s step, say say) {
	if s.after.MediaSequence < s.before.MediaSequence {
		say("EXT-X-MEDIA-SEQUENCE went back from %d to %d.", s.before.MediaSequence, s.after.MediaSequence)
	}
}

// shift returns the number that the first segment had in the playlist before, if that is another.
func (s step) shift() (before, after uint64, shifted bool) {
	if len(s.after.Segments) == 0 {
		return 0, 0, false
	}
	first := s.after.Segments[0]
	if s.same(first.Number, first.Resource) {
		return 0, 0, false
	}
	for _, b := range s.before.Segments {
		if b.Resource == first.Resource && b.Number != first.Number {
			return b.Number, first.Number, true
		}
	}
	return 0, 0, false
}

// renumbered reports whether segments have other numbers than in the playlist before.
func (s step) renumbered() bool {
	_, _, shifted := s.shift()
	return shifted || s.after.MediaSequence < s.before.MediaSequence
}

// same reports whether a segment of the playlist before has a number and a name.
func (s step) same(number uint64, r Resource) bool {
	b := s.before.segment(number)
	return b != nil && b.Resource == r
}

// segment returns the complete segment with a number, or nil.
func (m *Media) segment(number uint64) *Segment {
	first := m.MediaSequence + m.Skipped
	if number < first || number-first >= uint64(len(m.Segments)) {
		return nil
	}
	return &m.Segments[number-first]
}

func mediaSequenceCount(s step, say say) {
	if before, after, shifted := s.shift(); shifted && s.after.MediaSequence >= s.before.MediaSequence {
		say("Segment %d of the playlist before has the number %d: EXT-X-MEDIA-SEQUENCE does not count what was removed.", before, after)
	}
}

func discontinuitySequence(s step, say say) {
	if s.after.DiscontinuitySequence < s.before.DiscontinuitySequence {
		say("EXT-X-DISCONTINUITY-SEQUENCE went back from %d to %d.", s.before.DiscontinuitySequence, s.after.DiscontinuitySequence)
	}
}

func discontinuitySequenceCount(s step, say say) {
	if s.after.DiscontinuitySequence < s.before.DiscontinuitySequence {
		return // the numbers of all segments differ
	}
	for _, a := range s.after.Segments {
		if b := s.before.segment(a.Number); b != nil && b.Resource == a.Resource && b.Discontinuity != a.Discontinuity {
			say("The discontinuity sequence number of segment %d changed from %d to %d.", a.Number, b.Discontinuity, a.Discontinuity)
			return
		}
	}
}

func entryChanged(s step, say say) {
	for _, a := range s.after.Segments {
		if b := s.before.segment(a.Number); b != nil {
			if what := b.differs(a); what != "" {
				say("Segment %d changed its %s.", a.Number, what)
			}
		}
	}
}

// differs names what two segments of one number differ in. A tag that a segment inherited may be
// repeated before it when the segment with the tag is removed.
func (s Segment) differs(t Segment) string {
	switch {
	case s.Resource != t.Resource:
		return fmt.Sprintf("name or byte range from %v to %v", s.Resource, t.Resource)
	case s.Duration != t.Duration:
		return fmt.Sprintf("duration from %v to %v", s.Duration, t.Duration)
	case s.Map != t.Map:
		return fmt.Sprintf("EXT-X-MAP from %v to %v", s.Map, t.Map)
	case s.Key != t.Key:
		return "EXT-X-KEY"
	case !s.Date.IsZero() && !t.Date.IsZero() && !s.Date.Equal(t.Date):
		return fmt.Sprintf("date from %v to %v", s.Date, t.Date)
	case s.Gap != t.Gap:
		return "EXT-X-GAP"
	}
	return ""
}

func partChanged(s step, say say) {
	for b := range s.before.all() {
		a := s.after.segment(b.Number)
		if a == nil && b.Number == s.after.Open.Number {
			a = &s.after.Open
		}
		if a == nil || len(a.Parts) == 0 {
			continue
		}
		if len(a.Parts) < len(b.Parts) {
			// Parts are removed in the order in which they appear (6.2.2). What the open
			// segment loses is at the end, which endBack sees.
			if a.URI != "" && !equalParts(b.Parts[len(b.Parts)-len(a.Parts):], a.Parts) {
				say("Segment %d lost parts other than its first.", b.Number)
			}
		} else if !equalParts(b.Parts, a.Parts[:len(b.Parts)]) {
			say("A part of segment %d changed.", b.Number)
		} else if b.URI != "" && len(b.Parts) > 0 && len(a.Parts) > len(b.Parts) {
			say("Segment %d got a part after it was complete.", b.Number)
		}
	}
}

func equalParts(a, b []Part) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func endBack(s step, say say) {
	b, a := s.before, s.after
	if a.Next() < b.Next() || a.Next() == b.Next() && len(a.Open.Parts) < len(b.Open.Parts) {
		say("The end went back from segment %d, part %d, to segment %d, part %d.", b.Next(), len(b.Open.Parts), a.Next(), len(a.Open.Parts))
	}
}

func windowShort(s step, say say) {
	removed := s.after.MediaSequence > s.before.MediaSequence
	if d := s.after.Duration(); removed && !s.after.EndList && d < 3*s.after.TargetDuration {
		say("Segments were removed, and %v are left, which is less than three target durations (%v).", d, s.after.TargetDuration)
	}
}

func typeRemoval(s step, say say) {
	if s.before.Type != "" && s.after.MediaSequence > s.before.MediaSequence {
		say("Segments were removed from a playlist of type %s.", s.before.Type)
	}
}

func endListFinal(s step, say say) {
	if s.before.EndList && (!s.after.EndList || s.after.Next() > s.before.Next()) {
		say("The playlist went on after EXT-X-ENDLIST.")
	}
}

// hintKept finds the part that came after the parts of the playlist before. A hint may be dropped
// where the segmentation changes (6.2.6), which a discontinuity shows.
func hintKept(s step, say say) {
	hint := s.before.hint()
	if hint == nil {
		return
	}
	number, index := s.before.Open.Number, len(s.before.Open.Parts)
	came := s.after.segment(number)
	if came != nil && index > 0 && len(came.Parts) == index {
		number, index = number+1, 0
		came = s.after.segment(number)
	}
	if came == nil && s.after.Open.Number == number {
		came = &s.after.Open
	}
	if came == nil || len(came.Parts) <= index {
		return // not there yet, or removed
	}
	if came.Starts && index == 0 {
		return
	}
	if p := came.Parts[index]; p.URI != hint.URI || p.Start != hint.Start {
		say("EXT-X-PRELOAD-HINT named %s, and the next part is %s.", hint.URI, p.URI)
	}
}

// dateBack looks at windows that share no segment. Where they share one, dateOverlap sees it.
func dateBack(s step, say say) {
	if len(s.before.Segments) == 0 || s.after.MediaSequence < s.before.Next() {
		return
	}
	var last time.Time
	for _, b := range s.before.Segments {
		if !b.Date.IsZero() {
			last = b.Date
		}
	}
	for a := range s.after.all() {
		if !a.Date.IsZero() {
			if !a.Date.After(last) {
				say("The date went back from %v to %v at segment %d.", last, a.Date, a.Number)
			}
			return
		}
	}
}

// lateTolerance is what a reload may add to the time that is measured.
const lateTolerance = 500 * time.Millisecond

func segmentLate(s step, say say) {
	if most := s.after.TargetDuration * 3 / 2; !s.after.EndList && s.still > most+lateTolerance {
		say("No segment followed segment %d within 1.5 target durations (%v).", s.after.Next()-1, most)
	}
}

// renamed calls f with each name that stood at another place before.
func (s step) renamed(f func(name Resource, before, after place)) {
	here := make(map[Resource]place)
	eachName(s.after, func(r Resource, p place) {
		before, ok := here[r]
		if !ok {
			before, ok = s.names.places[r]
		}
		here[r] = p
		if ok && (before.number != p.number || before.part != p.part) {
			f(r, before, p)
		}
	})
}

// described reports whether two places have the same description, as a slate has that is shown
// again.
func (p place) described(q place) bool {
	return p.part == q.part && p.duration == q.duration && p.init == q.init
}

func nameReused(s step, say say) {
	s.renamed(func(name Resource, before, after place) {
		if !before.described(after) {
			say("%s named part %d of segment %d, and now names part %d of segment %d (-1 is the segment).",
				name.URI, before.part, before.number, after.part, after.number)
		}
	})
}

func nameRepeated(s step, say say) {
	s.renamed(func(name Resource, before, after place) {
		if before.described(after) {
			say("%s named segment %d and now also names segment %d.", name.URI, before.number, after.number)
		}
	})
}
