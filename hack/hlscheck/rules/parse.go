package rules

import (
	"strings"
	"time"
)

// A mediaParser reads a media playlist line by line.
type mediaParser struct {
	m *Media
	// next is the segment to which the tags so far apply.
	next      Segment
	hasLength bool  // EXTINF stands before the URI line to come
	ranged    *line // the EXT-X-BYTERANGE before the URI line to come
}

// ParseMedia reads a media playlist. It returns what could be read, with the breaches of syntax.
// A text that is no playlist has the breach "header".
func ParseMedia(text string) (*Media, []Breach) {
	p := mediaParser{m: &Media{}}
	for _, l := range p.m.lines(text, false) {
		if l.uri != "" {
			p.uri(l)
		} else {
			p.tag(l)
		}
	}
	m := p.m
	if p.hasLength || p.ranged != nil {
		m.breach("uri", "4.1", "The last segment has tags and no URI.")
	}
	if m.TargetDuration == 0 {
		m.breach("required", "4.4.3.1", "EXT-X-TARGETDURATION of at least 1 is missing.")
	}
	m.Open = p.next
	m.number()
	return m, m.breaches
}

// integer reads the value of a tag.
func (p *mediaParser) integer(l line) uint64 {
	n, ok := integer(l.rest)
	if !ok {
		p.m.breach("syntax", tags[l.tag].section, "%s in line %d is not a decimal integer.", l.tag, l.number)
	}
	return n
}

// early notes a breach if a segment stands before a tag that must come first.
func (p *mediaParser) early(l line) {
	if len(p.m.Segments) > 0 || len(p.next.Parts) > 0 {
		p.m.breach("place", tags[l.tag].section, "%s in line %d stands behind a segment.", l.tag, l.number)
	}
}

// beforeParts notes a breach if a tag stands behind the first part of its segment.
func (p *mediaParser) beforeParts(l line) {
	if len(p.next.Parts) > 0 {
		p.m.breach("tags-before-parts", "4.4.4.9", "%s in line %d stands behind a part of its segment.", l.tag, l.number)
	}
}

func (p *mediaParser) tag(l line) {
	m := p.m
	switch l.tag {
	case "EXT-X-VERSION":
		m.version = int(min(p.integer(l), 1000))
	case "EXT-X-INDEPENDENT-SEGMENTS":
		m.IndependentSegments = true
	case "EXT-X-DEFINE":
		m.define(l)
	case "EXT-X-TARGETDURATION":
		m.TargetDuration = time.Duration(min(p.integer(l), 1e7)) * time.Second
	case "EXT-X-MEDIA-SEQUENCE":
		p.early(l)
		m.MediaSequence = p.integer(l)
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		p.early(l)
		if p.next.Starts {
			m.breach("place", "4.4.3.3", "EXT-X-DISCONTINUITY-SEQUENCE in line %d stands behind EXT-X-DISCONTINUITY.", l.number)
		}
		m.DiscontinuitySequence = p.integer(l)
	case "EXT-X-ENDLIST":
		m.EndList = true
	case "EXT-X-PLAYLIST-TYPE":
		if m.Type = l.rest; m.Type != "EVENT" && m.Type != "VOD" {
			m.breach("syntax", "4.4.3.5", "EXT-X-PLAYLIST-TYPE is neither EVENT nor VOD.")
		}
	case "EXT-X-I-FRAMES-ONLY":
		m.IFramesOnly = true
		m.need(4, l.tag)
	case "EXT-X-PART-INF":
		a := m.list(l)
		a.need("PART-TARGET")
		m.PartTarget, m.hasPartInf = a.seconds("PART-TARGET"), true
	case "EXT-X-SERVER-CONTROL":
		m.Control = control(m.list(l))
	case "EXT-X-SKIP":
		p.skip(l)
	case "EXT-X-PRELOAD-HINT":
		a := m.list(l)
		a.need("TYPE", "URI")
		h := Hint{a.one("TYPE", "PART", "MAP"), Resource{URI: a.quoted("URI")}}
		h.Start, h.Length = int64(a.integer("BYTERANGE-START")), int64(a.integer("BYTERANGE-LENGTH"))
		m.Hints = append(m.Hints, h)
	case "EXT-X-RENDITION-REPORT":
		a := m.list(l)
		a.need("URI")
		m.Reports = append(m.Reports, Report{
			URI: a.quoted("URI"), HasMSN: a.has("LAST-MSN"), HasPart: a.has("LAST-PART"),
			LastMSN: a.integer("LAST-MSN"), LastPart: a.integer("LAST-PART"),
		})
	default:
		if tags[l.tag].kind == multivariantTag {
			m.breach("mixed", "4.4.6", "A media playlist has %s in line %d.", l.tag, l.number)
		}
		p.segmentTag(l)
	}
}

// segmentTag reads a tag that applies to the next segment.
func (p *mediaParser) segmentTag(l line) {
	m := p.m
	switch l.tag {
	case "EXTINF":
		length, _, comma := strings.Cut(l.rest, ",")
		var ok bool
		if p.next.Duration, ok = seconds(length); !ok || !comma {
			m.breach("syntax", "4.4.4.1", "EXTINF in line %d is not a number of seconds and a comma.", l.number)
		}
		if strings.Contains(length, ".") {
			m.need(3, "an EXTINF that is no integer")
		}
		p.hasLength = true
	case "EXT-X-BYTERANGE":
		p.ranged = &l
		m.need(4, l.tag)
	case "EXT-X-DISCONTINUITY":
		p.beforeParts(l)
		p.next.Starts = true
	case "EXT-X-KEY":
		p.beforeParts(l)
		p.key(l)
	case "EXT-X-MAP":
		p.beforeParts(l)
		a := m.list(l)
		a.need("URI")
		p.next.Map, p.next.ownMap = a.resource(Resource{}), true
		m.need(5, l.tag)
	case "EXT-X-PROGRAM-DATE-TIME":
		p.beforeParts(l)
		var ok bool
		if p.next.Date, ok = date(l.rest); !ok {
			m.breach("syntax", "4.4.4.6", "EXT-X-PROGRAM-DATE-TIME in line %d is no date and time.", l.number)
		}
	case "EXT-X-GAP":
		p.next.Gap = true
	case "EXT-X-PART":
		a := m.list(l)
		a.need("URI", "DURATION")
		var before Resource
		if n := len(p.next.Parts); n > 0 {
			before = p.next.Parts[n-1].Resource
		}
		p.next.Parts = append(p.next.Parts, Part{a.resource(before), a.seconds("DURATION"), a.yes("INDEPENDENT"), a.yes("GAP")})
	}
}

// uri ends a segment.
func (p *mediaParser) uri(l line) {
	m := p.m
	if !p.hasLength {
		m.breach("uri", "4.4.4.1", "The URI in line %d has no EXTINF.", l.number)
	}
	p.next.URI = l.uri
	if p.ranged != nil {
		var ok bool
		if p.next.Start, p.next.Length, ok = byteRange(p.ranged.rest); !ok {
			m.breach("syntax", "4.4.4.2", "EXT-X-BYTERANGE in line %d is no byte range.", p.ranged.number)
		}
		if p.next.Start < 0 {
			p.next.Start = 0
			if n := len(m.Segments); n > 0 && m.Segments[n-1].URI == l.uri && m.Segments[n-1].Length > 0 {
				p.next.Start = m.Segments[n-1].Start + m.Segments[n-1].Length
			} else if n > 0 || !m.hasSkip {
				m.breach("byte-range", "4.4.4.2", "EXT-X-BYTERANGE in line %d has no offset, and no range before it in the same resource.", p.ranged.number)
			}
		}
	}
	m.Segments = append(m.Segments, p.next)
	p.next, p.hasLength, p.ranged = Segment{}, false, nil
}

func (p *mediaParser) skip(l line) {
	p.early(l)
	a := p.m.list(l)
	a.need("SKIPPED-SEGMENTS")
	p.m.Skipped, p.m.hasSkip = a.integer("SKIPPED-SEGMENTS"), true
	p.m.need(9, l.tag)
	if a.has("RECENTLY-REMOVED-DATERANGES") {
		p.m.need(10, "RECENTLY-REMOVED-DATERANGES")
	}
}

func (p *mediaParser) key(l line) {
	a := p.m.list(l)
	a.need("METHOD")
	method := a.values["METHOD"].text
	p.next.Key, p.next.ownKey = l.rest, true
	if method == "NONE" {
		p.next.Key = ""
	} else {
		a.need("URI")
	}
	if a.has("IV") {
		p.m.need(2, "the IV of EXT-X-KEY")
	}
	if method == "SAMPLE-AES" || a.has("KEYFORMAT") || a.has("KEYFORMATVERSIONS") {
		p.m.need(5, "EXT-X-KEY with SAMPLE-AES or KEYFORMAT")
	}
}

// define notes the version that variables need.
func (s *syntax) define(l line) {
	s.need(8, l.tag)
	if s.list(l).has("QUERYPARAM") {
		s.need(11, "the QUERYPARAM of EXT-X-DEFINE")
	}
}

func control(a list) Control {
	return Control{
		CanSkipUntil: a.seconds("CAN-SKIP-UNTIL"), hasCanSkipUntil: a.has("CAN-SKIP-UNTIL"),
		HoldBack: a.seconds("HOLD-BACK"), hasHoldBack: a.has("HOLD-BACK"),
		PartHoldBack: a.seconds("PART-HOLD-BACK"), hasPartHoldBack: a.has("PART-HOLD-BACK"),
		CanSkipDateRanges: a.yes("CAN-SKIP-DATERANGES"), CanBlockReload: a.yes("CAN-BLOCK-RELOAD"),
	}
}

// date reads an ISO 8601 date and time. UTC is assumed where no time zone stands (4.4.4.6).
func date(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
