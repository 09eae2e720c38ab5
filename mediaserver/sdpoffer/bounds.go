package sdpoffer

import (
	"fmt"
	"strings"
)

// Bounds of an offer. A browser that offers one camera and one microphone sends 8 KB in
// two sections, with up to 40 formats in a section and seven lines for a format.
const (
	// MaxBytes bounds the text.
	MaxBytes = 64 << 10

	maxLines      = 2048
	maxLineLength = 2048 // bytes

	maxSections = 16

	// Of each section, and of the lines before the first one:
	maxFormats     = 64  // distinct ones
	maxAttributes  = 512 // candidates not counted: maxLines bounds them
	maxFormatLines = 32  // rtpmap, fmtp and rtcp-fb of one format
	maxSSRCLines   = 64  // ssrc and ssrc-group
	maxRIDs        = 16
	maxExtensions  = 64 // extmap
)

// An Error says why an offer is not taken, in words for whoever runs the client.
type Error struct {
	// TooLarge reports whether the offer exceeds a bound. Otherwise the offer is
	// malformed, or lacks what an answer needs.
	TooLarge bool

	message string
}

func (e *Error) Error() string { return e.message }

func malformed(format string, args ...any) *Error {
	return &Error{message: fmt.Sprintf(format, args...)}
}

// above returns an Error if there are more of a thing than may be.
func above(count, limit int, thing string) *Error {
	if count <= limit {
		return nil
	}
	return &Error{TooLarge: true, message: fmt.Sprintf("it has more than %d %s", limit, thing)}
}

// checkBounds looks at each line once and allocates for nothing that exceeds its bound.
// Line ends are those of RFC 8866 section 5, and lone CRs, which pion/sdp takes too.
func checkBounds(offer string) *Error {
	if err := above(len(offer), MaxBytes, "bytes"); err != nil {
		return err
	}
	var c counts
	for rest := offer; rest != ""; {
		line := rest
		if end := strings.IndexAny(rest, "\r\n"); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = ""
		}
		if line == "" {
			continue
		}
		if err := c.add(line); err != nil {
			return err
		}
	}
	return nil
}

// counts is what has been counted of an offer so far.
type counts struct {
	lines, sections int
	section         sectionCounts
}

// sectionCounts is what has been counted of one section.
type sectionCounts struct {
	attributes, ssrcLines, rids, extensions int
	formatLines                             map[string]int // by format
}

// add counts one line.
func (c *counts) add(line string) *Error {
	c.lines++
	if err := above(c.lines, maxLines, "lines"); err != nil {
		return err
	}
	if err := above(len(line), maxLineLength, "bytes in a line"); err != nil {
		return err
	}
	if description, ok := strings.CutPrefix(line, "m="); ok {
		c.sections++
		c.section = sectionCounts{}
		if err := above(c.sections, maxSections, "media sections"); err != nil {
			return err
		}
		return above(len(distinctFormats(description)), maxFormats, "formats in a media section")
	}
	attribute, ok := strings.CutPrefix(line, "a=")
	if !ok {
		return nil
	}
	name, value, _ := strings.Cut(attribute, ":")
	if name == "candidate" {
		return nil // a host of many interfaces has many; see keptCandidates
	}
	return c.section.add(name, value)
}

// add counts one attribute.
func (s *sectionCounts) add(name, value string) *Error {
	s.attributes++
	if err := above(s.attributes, maxAttributes, "attribute lines in a media section"); err != nil {
		return err
	}
	switch name {
	case "rtpmap", "fmtp", "rtcp-fb":
		format, _, _ := strings.Cut(value, " ")
		if s.formatLines == nil {
			s.formatLines = map[string]int{}
		}
		s.formatLines[format]++
		return above(s.formatLines[format], maxFormatLines, "rtpmap, fmtp and rtcp-fb lines for one format")
	case "ssrc", "ssrc-group":
		s.ssrcLines++
		return above(s.ssrcLines, maxSSRCLines, "ssrc lines in a media section")
	case "rid":
		s.rids++
		return above(s.rids, maxRIDs, "rid lines in a media section")
	case "extmap":
		s.extensions++
		return above(s.extensions, maxExtensions, "extmap lines in a media section")
	}
	return nil
}

// distinctFormats returns the formats of a media description, RFC 8866 section 5.14:
// media port proto fmt ... It stops one beyond maxFormats.
func distinctFormats(description string) map[string]bool {
	formats := map[string]bool{}
	n := 0
	for field := range strings.FieldsSeq(description) {
		if n++; n <= 3 {
			continue
		}
		if formats[field] = true; len(formats) > maxFormats {
			break
		}
	}
	return formats
}
