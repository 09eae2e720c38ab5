package rules

import (
	"net/url"
	"time"
)

// mediaRules are the rules about one media playlist. A Playlist Delta Update is first merged
// with the playlist before.
var mediaRules = []rule[*Media]{
	{"version", "8", must, versionNeeded},
	{"segment-duration", "4.4.3.1", must, segmentDuration},
	{"part-inf", "4.4.3.7", must, partInf},
	{"part-duration-most", "4.4.4.9", must, partDurationMost},
	{"part-duration-least", "4.4.4.9", must, partDurationLeast},
	{"parts-sum", "3.2", must, partsSum},
	{"parts-old", "6.2.2", should, partsOld},
	{"part-hold-back", "4.4.3.8", must, partHoldBack},
	{"part-hold-back-short", "4.4.3.8", should, partHoldBackShort},
	{"hold-back", "4.4.3.8", must, holdBack},
	{"can-skip-until", "4.4.3.8", must, canSkipUntil},
	{"can-skip-dateranges", "4.4.3.8", must, canSkipDateRanges},
	{"map", "3.1.2", must, mapApplies},
	{"map-change", "4.4.4.3", should, mapChange},
	{"independent-segments", "4.4.2.1", must, independentSegments},
	{"hint-endlist", "4.4.5.3", must, hintEndList},
	{"hint-one", "6.2.6", should, hintOne},
	{"hint-missing", "B.1", should, hintMissing},
	{"report-relative", "4.4.5.4", must, reportRelative},
	{"report-complete", "4.4.5.4", should, reportComplete},
	{"date-at-discontinuity", "6.2.1", should, dateAtDiscontinuity},
	{"date-overlap", "6.2.1", must, dateOverlap},
	{"date-drift", "4.4.4.6", must, dateDrift},
}

// skipRules are the rules about a Playlist Delta Update as it was served.
var skipRules = []rule[*Media]{
	{"skip-offered", "6.2.5.1", must, skipOffered},
	{"skip-boundary", "6.2.5.1", must, skipBoundary},
}

// check applies the rules about one playlist as it was served.
func (m *Media) check() []Breach {
	if !m.hasSkip {
		return apply(mediaRules, m)
	}
	return append(apply(mediaRules, m), apply(skipRules, m)...)
}

func versionNeeded(m *Media, say say) {
	s := m.syntax
	for seg := range m.all() {
		if seg.ownMap && !m.IFramesOnly {
			s.need(6, "EXT-X-MAP without EXT-X-I-FRAMES-ONLY")
		}
	}
	if s.version < s.needs {
		say("EXT-X-VERSION is %d, and %s needs at least %d.", s.version, s.because, s.needs)
	}
}

func segmentDuration(m *Media, say say) {
	for _, s := range m.Segments {
		if m.TargetDuration > 0 && s.Duration.Round(time.Second) > m.TargetDuration {
			say("Segment %d lasts %v, and EXT-X-TARGETDURATION is %v.", s.Number, s.Duration, m.TargetDuration)
		}
	}
}

func partInf(m *Media, say say) {
	if m.hasParts() && !m.hasPartInf {
		say("The playlist has parts and no EXT-X-PART-INF.")
	}
}

func partDurationMost(m *Media, say say) {
	for s := range m.all() {
		for i, p := range s.Parts {
			if m.PartTarget > 0 && p.Duration > m.PartTarget {
				say("Part %d of segment %d lasts %v, and PART-TARGET is %v.", i, s.Number, p.Duration, m.PartTarget)
			}
		}
	}
}

// partDurationLeast exempts what section 4.4.4.9 exempts. The last part of the open segment may
// become the final part of its segment, so that its time has not come.
func partDurationLeast(m *Media, say say) {
	for s := range m.all() {
		for i, p := range s.Parts {
			final := i == len(s.Parts)-1
			if p.Independent || p.Gap || final || s.Parts[i+1].Gap {
				continue
			}
			if p.Duration*100 < m.PartTarget*85 {
				say("Part %d of segment %d lasts %v, which is below 85 %% of PART-TARGET (%v).", i, s.Number, p.Duration, m.PartTarget)
			}
		}
	}
}

// sumTolerance is what the sum of durations may differ by: the parts of a segment count the
// samples of one track, and each is rounded.
const sumTolerance = 100 * time.Millisecond

func partsSum(m *Media, say say) {
	first := true
	for _, s := range m.Segments {
		if len(s.Parts) == 0 {
			continue
		}
		var sum time.Duration
		for _, p := range s.Parts {
			sum += p.Duration
		}
		// The first parts of the oldest segment with parts may have been removed.
		if sum > s.Duration+sumTolerance || sum < s.Duration-sumTolerance && !first {
			say("The parts of segment %d last %v together, and the segment %v.", s.Number, sum, s.Duration)
		}
		first = false
	}
}

func partsOld(m *Media, say say) {
	var toEnd time.Duration // from the end of a segment to the end of the last one
	for i := len(m.Segments) - 1; i >= 0; i-- {
		s := m.Segments[i]
		if m.TargetDuration > 0 && len(s.Parts) > 0 && toEnd > 3*m.TargetDuration {
			say("Segment %d has parts, and ends %v before the last segment does.", s.Number, toEnd)
		}
		toEnd += s.Duration
	}
}

func partHoldBack(m *Media, say say) {
	switch c := m.Control; {
	case m.hasPartInf && !c.hasPartHoldBack:
		say("The playlist has EXT-X-PART-INF and no PART-HOLD-BACK.")
	case c.hasPartHoldBack && c.PartHoldBack < 2*m.PartTarget:
		say("PART-HOLD-BACK is %v, which is below twice PART-TARGET (%v).", c.PartHoldBack, m.PartTarget)
	}
}

func partHoldBackShort(m *Media, say say) {
	if h := m.Control.PartHoldBack; h >= 2*m.PartTarget && h < 3*m.PartTarget {
		say("PART-HOLD-BACK is %v, which is below three times PART-TARGET (%v).", h, m.PartTarget)
	}
}

func holdBack(m *Media, say say) {
	if c := m.Control; c.hasHoldBack && c.HoldBack < 3*m.TargetDuration {
		say("HOLD-BACK is %v, which is below three times the target duration (%v).", c.HoldBack, m.TargetDuration)
	}
}

func canSkipUntil(m *Media, say say) {
	if c := m.Control; c.hasCanSkipUntil && c.CanSkipUntil < 6*m.TargetDuration {
		say("CAN-SKIP-UNTIL is %v, which is below six times the target duration (%v).", c.CanSkipUntil, m.TargetDuration)
	}
}

func canSkipDateRanges(m *Media, say say) {
	if m.Control.CanSkipDateRanges && !m.Control.hasCanSkipUntil {
		say("CAN-SKIP-DATERANGES stands without CAN-SKIP-UNTIL.")
	}
}

// mapApplies knows fragmented MP4 by its name, or by the EXT-X-MAP of another segment.
func mapApplies(m *Media, say say) {
	if m.Skipped > 0 || m.IFramesOnly {
		return // EXT-X-MAP may be among the skipped tags, or before the frames in their resource
	}
	var mapped bool
	for s := range m.all() {
		mapped = mapped || s.ownMap
	}
	for s := range m.all() {
		uri := s.URI
		if uri == "" {
			uri = s.Parts[0].URI
		}
		if s.Map.URI == "" && !s.Gap && (mapped || isFMP4(uri)) {
			say("No EXT-X-MAP applies to segment %d.", s.Number)
		}
	}
}

func mapChange(m *Media, say say) {
	var before *Segment
	for s := range m.all() {
		if before != nil && before.Map.URI != "" && s.Map != before.Map && s.Discontinuity == before.Discontinuity {
			say("EXT-X-MAP changes at segment %d without EXT-X-DISCONTINUITY.", s.Number)
		}
		before = s
	}
}

func independentSegments(m *Media, say say) {
	first := true
	for s := range m.all() {
		if len(s.Parts) == 0 {
			continue
		}
		// The first part of the oldest segment with parts may have been removed.
		if m.IndependentSegments && !s.Parts[0].Independent && !s.Parts[0].Gap && !first {
			say("EXT-X-INDEPENDENT-SEGMENTS is written, and the first part of segment %d is not INDEPENDENT.", s.Number)
		}
		first = false
	}
}

func hintEndList(m *Media, say say) {
	if m.EndList && len(m.Hints) > 0 {
		say("The playlist has EXT-X-ENDLIST and EXT-X-PRELOAD-HINT.")
	}
}

func hintOne(m *Media, say say) {
	seen := make(map[string]bool)
	for _, h := range m.Hints {
		if seen[h.Type] {
			say("The playlist has more than one EXT-X-PRELOAD-HINT of type %s.", h.Type)
		}
		seen[h.Type] = true
	}
}

func hintMissing(m *Media, say say) {
	if m.hasParts() && !m.EndList && m.hint() == nil {
		say("The playlist has parts, and no EXT-X-PRELOAD-HINT of the next part.")
	}
}

// hint returns the hint of the part to come, or nil.
func (m *Media) hint() *Hint {
	for i := range m.Hints {
		if m.Hints[i].Type == "PART" {
			return &m.Hints[i]
		}
	}
	return nil
}

func reportRelative(m *Media, say say) {
	for _, r := range m.Reports {
		if u, err := url.Parse(r.URI); err != nil || u.IsAbs() || u.Host != "" {
			say("The URI %q of EXT-X-RENDITION-REPORT is not relative.", r.URI)
		}
	}
}

// reportComplete is advice, because a server may leave out what is equal for both renditions.
func reportComplete(m *Media, say say) {
	for _, r := range m.Reports {
		if !r.HasMSN || !r.HasPart && m.hasParts() {
			say("The EXT-X-RENDITION-REPORT of %q lacks LAST-MSN or LAST-PART.", r.URI)
		}
	}
}

func dateAtDiscontinuity(m *Media, say say) {
	var dated bool
	for s := range m.all() {
		dated = dated || !s.Date.IsZero()
	}
	for s := range m.all() {
		if dated && s.Starts && s.Date.IsZero() {
			say("Segment %d has EXT-X-DISCONTINUITY and no EXT-X-PROGRAM-DATE-TIME.", s.Number)
		}
	}
}

// dateTolerance is what a date may differ by from the date before plus the durations between.
const dateTolerance = 200 * time.Millisecond

// eachDate calls f with each dated segment and the date at which the segments before it end.
func eachDate(m *Media, f func(before, s *Segment, end time.Time)) {
	var before *Segment
	var end time.Time
	for s := range m.all() {
		if !s.Date.IsZero() {
			if before != nil {
				f(before, s, end)
			}
			before, end = s, s.Date
		}
		end = end.Add(s.Duration)
	}
}

// dateOverlap allows what section 6.2.1 allows: overlaps below a second, and only of a part of
// the segment before.
func dateOverlap(m *Media, say say) {
	eachDate(m, func(before, s *Segment, end time.Time) {
		if !s.Date.After(before.Date) || end.Sub(s.Date) >= time.Second {
			say("Segment %d is dated %v before the end of what precedes it.", s.Number, end.Sub(s.Date))
		}
	})
}

func dateDrift(m *Media, say say) {
	eachDate(m, func(before, s *Segment, end time.Time) {
		if off := s.Date.Sub(end); s.Discontinuity == before.Discontinuity && off.Abs() > dateTolerance && off > -time.Second && s.Date.After(before.Date) {
			say("The date of segment %d differs by %v from the date before and the durations between.", s.Number, off)
		}
	})
}

func skipOffered(m *Media, say say) {
	if !m.Control.hasCanSkipUntil || m.EndList {
		say("EXT-X-SKIP stands in a playlist without CAN-SKIP-UNTIL, or with EXT-X-ENDLIST.")
	}
}

// skipBoundary leaves one target duration: the draft does not say whether a segment that spans
// the skip boundary is beyond it.
func skipBoundary(m *Media, say say) {
	left := m.Duration()
	for _, p := range m.Open.Parts {
		left += p.Duration
	}
	if m.Skipped > 0 && left < m.Control.CanSkipUntil-m.TargetDuration {
		say("EXT-X-SKIP leaves %v, and CAN-SKIP-UNTIL is %v.", left, m.Control.CanSkipUntil)
	}
}
