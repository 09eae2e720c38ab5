package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A tagKind says in which playlists a tag stands, and how often.
type tagKind int

const (
	unknownTag      tagKind = iota
	sharedTag               // of either kind of playlist, once (4.4.1, 4.4.2)
	defineTag               // of either kind of playlist, any number of times
	mediaTag                // of a media playlist, once (4.4.3)
	segmentTag              // of a media segment (4.4.4)
	metadataTag             // of a media playlist, any number of times (4.4.5)
	multivariantTag         // of a multivariant playlist (4.4.6)
)

// tags are the tags of the draft.
var tags = map[string]struct {
	kind    tagKind
	section string
}{
	"EXTM3U":                       {sharedTag, "4.4.1.1"},
	"EXT-X-VERSION":                {sharedTag, "4.4.1.2"},
	"EXT-X-INDEPENDENT-SEGMENTS":   {sharedTag, "4.4.2.1"},
	"EXT-X-START":                  {sharedTag, "4.4.2.2"},
	"EXT-X-DEFINE":                 {defineTag, "4.4.2.3"},
	"EXT-X-TARGETDURATION":         {mediaTag, "4.4.3.1"},
	"EXT-X-MEDIA-SEQUENCE":         {mediaTag, "4.4.3.2"},
	"EXT-X-DISCONTINUITY-SEQUENCE": {mediaTag, "4.4.3.3"},
	"EXT-X-ENDLIST":                {mediaTag, "4.4.3.4"},
	"EXT-X-PLAYLIST-TYPE":          {mediaTag, "4.4.3.5"},
	"EXT-X-I-FRAMES-ONLY":          {mediaTag, "4.4.3.6"},
	"EXT-X-PART-INF":               {mediaTag, "4.4.3.7"},
	"EXT-X-SERVER-CONTROL":         {mediaTag, "4.4.3.8"},
	"EXTINF":                       {segmentTag, "4.4.4.1"},
	"EXT-X-BYTERANGE":              {segmentTag, "4.4.4.2"},
	"EXT-X-DISCONTINUITY":          {segmentTag, "4.4.4.3"},
	"EXT-X-KEY":                    {segmentTag, "4.4.4.4"},
	"EXT-X-MAP":                    {segmentTag, "4.4.4.5"},
	"EXT-X-PROGRAM-DATE-TIME":      {segmentTag, "4.4.4.6"},
	"EXT-X-GAP":                    {segmentTag, "4.4.4.7"},
	"EXT-X-BITRATE":                {segmentTag, "4.4.4.8"},
	"EXT-X-PART":                   {segmentTag, "4.4.4.9"},
	"EXT-X-DATERANGE":              {metadataTag, "4.4.5.1"},
	"EXT-X-SKIP":                   {mediaTag, "4.4.5.2"},
	"EXT-X-PRELOAD-HINT":           {metadataTag, "4.4.5.3"},
	"EXT-X-RENDITION-REPORT":       {metadataTag, "4.4.5.4"},
	"EXT-X-MEDIA":                  {multivariantTag, "4.4.6.1"},
	"EXT-X-STREAM-INF":             {multivariantTag, "4.4.6.2"},
	"EXT-X-I-FRAME-STREAM-INF":     {multivariantTag, "4.4.6.3"},
	"EXT-X-SESSION-DATA":           {multivariantTag, "4.4.6.4"},
	"EXT-X-SESSION-KEY":            {multivariantTag, "4.4.6.5"},
	"EXT-X-CONTENT-STEERING":       {multivariantTag, "4.4.6.6"},
}

// A line is a tag, with what follows its colon, or a URI.
type line struct {
	number    int // from 1
	tag, rest string
	uri       string
}

// A syntax collects the breaches that parsing finds, and the version that the text needs.
type syntax struct {
	breaches []Breach
	version  int // 1 without EXT-X-VERSION
	needs    int // the version that section 8 asks for
	because  string
}

func (s *syntax) breach(rule, section, format string, args ...any) {
	s.breaches = append(s.breaches, Breach{Rule: rule, Section: section, Text: fmt.Sprintf(format, args...)})
}

// need notes that a feature needs a version (section 8).
func (s *syntax) need(version int, feature string) {
	if version > s.needs {
		s.needs, s.because = version, feature
	}
}

// lines returns the tags and URIs of a playlist, without comments, blank lines and unknown
// tags. It checks what sections 4.1 and 4.4 say of all playlists.
func (s *syntax) lines(text string, multivariant bool) []line {
	s.version = 1
	if !utf8.ValidString(text) {
		s.breach("encoding", "4.1", "The playlist is not UTF-8.")
	}
	if first, _, _ := strings.Cut(text, "\n"); strings.TrimSuffix(first, "\r") != "#EXTM3U" {
		s.breach("header", "4.4.1.1", "The first line is not #EXTM3U.")
	}
	var found []line
	seen := make(map[string]bool)
	number := 0
	for l := range strings.Lines(text) {
		number++
		l = strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r")
		if strings.ContainsFunc(l, isControl) {
			s.breach("encoding", "4.1", "Line %d has a control character.", number)
		}
		if !strings.HasPrefix(l, "#") {
			if l != "" {
				found = append(found, line{number: number, uri: l})
			}
			continue
		}
		name, rest, _ := strings.Cut(l[1:], ":")
		tag := tags[name]
		switch tag.kind {
		case unknownTag:
			continue
		case sharedTag, mediaTag:
			if seen[name] {
				s.breach("repeated", tag.section, "Line %d repeats %s.", number, name)
				continue
			}
			seen[name] = true
		}
		if multivariant && tag.kind > defineTag && tag.kind != multivariantTag {
			s.breach("mixed", "4.4.6", "A multivariant playlist has %s in line %d.", name, number)
			continue
		}
		found = append(found, line{number: number, tag: name, rest: rest})
	}
	return found
}

// isControl reports whether a playlist must not contain a character (4.1).
func isControl(r rune) bool {
	return r == '\uFEFF' || r < 0x20 || r >= 0x7F && r <= 0x9F
}
