package rules

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Variant is an EXT-X-STREAM-INF tag with its URI.
type Variant struct {
	URI                string
	Bandwidth, Average uint64 // bits a second; Average is zero where it is not written
	Codecs             string
	Resolution         string
	FrameRate          string
	Groups             map[string]string // AUDIO, VIDEO, SUBTITLES and CLOSED-CAPTIONS
}

// A Rendition is an EXT-X-MEDIA tag.
type Rendition struct {
	Type, Group, Name, URI, InstreamID string
}

// Multivariant is a multivariant playlist.
type Multivariant struct {
	Variants   []Variant
	Renditions []Rendition

	syntax
}

// ParseMultivariant reads a multivariant playlist. It returns what could be read, with the
// breaches of syntax.
func ParseMultivariant(text string) (*Multivariant, []Breach) {
	m := &Multivariant{}
	var next *Variant // waits for its URI
	for _, l := range m.lines(text, true) {
		if next != nil && l.tag == "EXT-X-STREAM-INF" {
			m.breach("uri", "4.4.6.2", "The EXT-X-STREAM-INF before line %d has no URI.", l.number)
		}
		switch {
		case l.uri != "" && next == nil:
			m.breach("uri", "4.4.6.2", "The URI in line %d has no EXT-X-STREAM-INF.", l.number)
		case l.uri != "":
			next.URI = l.uri
			m.Variants = append(m.Variants, *next)
			next = nil
		case l.tag == "EXT-X-VERSION":
			n, ok := integer(l.rest)
			if !ok {
				m.breach("syntax", "4.4.1.2", "EXT-X-VERSION is not a decimal integer.")
			}
			m.version = int(min(n, 1000))
		case l.tag == "EXT-X-DEFINE":
			m.define(l)
		case l.tag == "EXT-X-STREAM-INF":
			v := m.variant(l)
			next = &v
		case l.tag == "EXT-X-I-FRAME-STREAM-INF":
			m.list(l).need("BANDWIDTH", "URI")
		case l.tag == "EXT-X-MEDIA":
			m.rendition(l)
		}
	}
	if next != nil {
		m.breach("uri", "4.4.6.2", "The last EXT-X-STREAM-INF has no URI.")
	}
	return m, m.breaches
}

func (m *Multivariant) variant(l line) Variant {
	a := m.list(l)
	a.need("BANDWIDTH")
	v := Variant{
		Bandwidth: a.integer("BANDWIDTH"), Average: a.integer("AVERAGE-BANDWIDTH"),
		Codecs: a.quoted("CODECS"), Resolution: a.values["RESOLUTION"].text, FrameRate: a.values["FRAME-RATE"].text,
		Groups: make(map[string]string),
	}
	for _, kind := range []string{"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"} {
		if g, ok := a.values[kind]; ok && g.quoted {
			v.Groups[kind] = g.text
		}
	}
	return v
}

func (m *Multivariant) rendition(l line) {
	a := m.list(l)
	a.need("TYPE", "GROUP-ID", "NAME")
	r := Rendition{
		a.one("TYPE", "AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"), a.quoted("GROUP-ID"), a.quoted("NAME"),
		a.quoted("URI"), a.quoted("INSTREAM-ID"),
	}
	if strings.HasPrefix(r.InstreamID, "SERVICE") {
		m.need(7, "an INSTREAM-ID with SERVICE")
	}
	if r.InstreamID != "" && r.Type != "CLOSED-CAPTIONS" {
		m.need(13, "an INSTREAM-ID of "+r.Type)
	}
	m.Renditions = append(m.Renditions, r)
}

// URIs returns the URIs of all media playlists, each once.
func (m *Multivariant) URIs() []string {
	var found []string
	for _, v := range m.Variants {
		found = append(found, v.URI)
	}
	for _, r := range m.Renditions {
		if r.URI != "" {
			found = append(found, r.URI)
		}
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(found, func(uri string) bool {
		again := seen[uri]
		seen[uri] = true
		return again
	})
}

var multivariantRules = []rule[*Multivariant]{
	{"version", "8", must, multivariantVersion},
	{"codecs", "4.4.6.2", must, codecsShape},
	{"codecs-missing", "4.4.6.2", should, codecsMissing},
	{"resolution", "4.4.6.2", must, resolution},
	{"frame-rate", "4.4.6.2", must, frameRate},
	{"average-bandwidth", "4.4.6.2", must, averageBandwidth},
	{"group", "4.4.6.2", must, group},
	{"rendition-uri", "4.4.6.2.1", must, renditionURI},
	{"uri-resolves", "4.1", must, uriResolves},
}

func multivariantVersion(m *Multivariant, say say) {
	if m.version < m.needs {
		say("EXT-X-VERSION is %d, and %s needs at least %d.", m.version, m.because, m.needs)
	}
}

// oneCodec is the shape of a format identifier (RFC 6381, section 3.4): a sample entry of four
// characters, with dots between what follows.
var oneCodec = regexp.MustCompile(`^[A-Za-z0-9+-]{4}(\.[A-Za-z0-9%+_-]+)*$`)

// names such as these have fewer characters or none that RFC 6381 knows, and are in use.
var otherCodecs = []string{"opus", "Opus", "flac", "vp8", "vp9"}

// avc is H.264 with its profile, constraints and level (RFC 6381, section 3.3).
var avc = regexp.MustCompile(`^avc[1-4]\.[0-9A-Fa-f]{6}$`)

func codecsShape(m *Multivariant, say say) {
	for _, v := range m.Variants {
		if v.Codecs == "" {
			continue
		}
		for c := range strings.SplitSeq(v.Codecs, ",") {
			if !oneCodec.MatchString(c) && !slices.Contains(otherCodecs, c) || strings.HasPrefix(c, "avc") && !avc.MatchString(c) {
				say("CODECS of %s has %q, which is no format identifier of RFC 6381.", v.URI, c)
			}
		}
	}
}

func codecsMissing(m *Multivariant, say say) {
	for _, v := range m.Variants {
		if v.Codecs == "" {
			say("The variant %s has no CODECS.", v.URI)
		}
	}
}

var (
	resolutionShape = regexp.MustCompile(`^[1-9][0-9]*x[1-9][0-9]*$`)
	frameRateShape  = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,3})?$`)
)

func resolution(m *Multivariant, say say) {
	for _, v := range m.Variants {
		if v.Resolution != "" && !resolutionShape.MatchString(v.Resolution) {
			say("RESOLUTION of %s is %q, which is no width and height.", v.URI, v.Resolution)
		}
	}
}

func frameRate(m *Multivariant, say say) {
	for _, v := range m.Variants {
		if v.FrameRate != "" && !frameRateShape.MatchString(v.FrameRate) {
			say("FRAME-RATE of %s is %q, which is no number with up to three decimal places.", v.URI, v.FrameRate)
		}
	}
}

func averageBandwidth(m *Multivariant, say say) {
	for _, v := range m.Variants {
		if v.Average > v.Bandwidth {
			say("AVERAGE-BANDWIDTH of %s is %d, which is above BANDWIDTH (%d).", v.URI, v.Average, v.Bandwidth)
		}
	}
}

func group(m *Multivariant, say say) {
	for _, v := range m.Variants {
		for kind, id := range v.Groups {
			if !slices.ContainsFunc(m.Renditions, func(r Rendition) bool { return r.Type == kind && r.Group == id }) {
				say("%s of %s is %q, and no EXT-X-MEDIA has this group.", kind, v.URI, id)
			}
		}
	}
}

func renditionURI(m *Multivariant, say say) {
	for _, r := range m.Renditions {
		if r.Type == "SUBTITLES" && r.URI == "" || r.Type == "CLOSED-CAPTIONS" && r.URI != "" {
			say("EXT-X-MEDIA %q of type %s must have a URI only if it has subtitles.", r.Name, r.Type)
		}
	}
}

func uriResolves(m *Multivariant, say say) {
	for _, uri := range m.URIs() {
		if _, err := url.Parse(uri); err != nil {
			say("The URI %q cannot be resolved.", uri)
		}
	}
}

// A Sized is a segment of known size.
type Sized struct {
	Duration time.Duration
	Bytes    int64
}

// PeakBitRate returns the peak segment bit rate of successive segments in bits a second (4.1).
// It is the largest rate of a run that lasts from 0.5 to 1.5 target durations and half a second.
func PeakBitRate(target time.Duration, segments []Sized) uint64 {
	var peak uint64
	for i := range segments {
		var d time.Duration
		var bytes int64
		for _, s := range segments[i:] {
			d, bytes = d+s.Duration, bytes+s.Bytes
			if d > target*3/2+time.Second/2 {
				break
			}
			if d >= target/2 && d > 0 {
				peak = max(peak, uint64(float64(bytes)*8/d.Seconds()))
			}
		}
	}
	return peak
}

// A measured is a variant with its peak segment bit rate.
type measured struct {
	variant Variant
	peak    uint64
}

// CheckBandwidth compares BANDWIDTH with the peak segment bit rate. While the playlist has no
// EXT-X-ENDLIST a breach is advice: BANDWIDTH is then that of a representative period.
func CheckBandwidth(v Variant, target time.Duration, segments []Sized, ended bool) []Breach {
	r := rule[measured]{"bandwidth-peak", "4.4.6.2", !ended, bandwidthPeak}
	return apply([]rule[measured]{r}, measured{v, PeakBitRate(target, segments)})
}

func bandwidthPeak(m measured, say say) {
	if m.peak > m.variant.Bandwidth {
		say("BANDWIDTH of %s is %d, and its peak segment bit rate is %d.", m.variant.URI, m.variant.Bandwidth, m.peak)
	}
}

// A pair is two media playlists of one multivariant playlist, of about the same time.
type pair struct {
	uris [2]string
	of   [2]*Media
}

var pairRules = []rule[pair]{
	{"renditions-target", "6.2.4", must, renditionsTarget},
	{"renditions-control", "6.2.4", must, renditionsControl},
	{"renditions-dates", "6.2.4", must, renditionsDates},
	{"report-missing", "B.1", should, reportMissing},
}

// CheckTogether compares two media playlists of one multivariant playlist.
func CheckTogether(uriA string, a *Media, uriB string, b *Media) []Breach {
	return apply(pairRules, pair{[2]string{uriA, uriB}, [2]*Media{a, b}})
}

func renditionsTarget(p pair, say say) {
	if a, b := p.of[0].TargetDuration, p.of[1].TargetDuration; a != b {
		say("EXT-X-TARGETDURATION is %v in %s and %v in %s.", a, p.uris[0], b, p.uris[1])
	}
}

func renditionsControl(p pair, say say) {
	if p.of[0].Control != p.of[1].Control {
		say("EXT-X-SERVER-CONTROL differs between %s and %s.", p.uris[0], p.uris[1])
	}
}

func renditionsDates(p pair, say say) {
	dated := func(m *Media) bool {
		return slices.ContainsFunc(m.Segments, func(s Segment) bool { return !s.Date.IsZero() })
	}
	if len(p.of[0].Segments) > 0 && len(p.of[1].Segments) > 0 && dated(p.of[0]) != dated(p.of[1]) {
		say("Only one of %s and %s has EXT-X-PROGRAM-DATE-TIME.", p.uris[0], p.uris[1])
	}
}

// reportMissing asks for reports of other renditions where parts are written.
func reportMissing(p pair, say say) {
	for i, m := range p.of {
		if m.hasParts() && !m.EndList && len(m.Reports) == 0 {
			say("%s has no EXT-X-RENDITION-REPORT of %s.", p.uris[i], p.uris[1-i])
		}
	}
}
