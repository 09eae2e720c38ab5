package sdpoffer

import (
	"fmt"
	"strings"
)

// ContentType is the media type of an offer and of its answer.
const ContentType = "application/sdp"

// Bounds of an offer. For one camera and one microphone a browser sends 8 KB in two
// sections, with up to 40 formats per section and seven lines per format.
const (
	// MaxBytes bounds the text.
	MaxBytes = 64 << 10

	maxLines      = 2048
	maxLineLength = 2048 // bytes

	maxSections = 16

	// The following bounds are for each section, and for the lines before the first section.
	maxFormats     = 64  // distinct ones
	maxAttributes  = 512 // without candidates, which maxLines bounds
	maxFormatLines = 32  // rtpmap, fmtp and rtcp-fb of one format
	maxSSRCLines   = 64  // ssrc and ssrc-group
	maxRIDs        = 16
	maxExtensions  = 64 // extmap
)

// An Error is why an offer is not accepted, in words for whoever runs the client.
type Error struct {
	// TooLarge reports whether the offer exceeds a bound. Otherwise it is malformed,
	// or lacks something that an answer needs.
	TooLarge bool

	message string
}

func (e *Error) Error() string { return e.message }

func malformed(format string, args ...any) *Error {
	return &Error{message: fmt.Sprintf(format, args...)}
}

// above returns an Error if count is above limit.
func above(count, limit int, thing string) *Error {
	if count <= limit {
		return nil
	}
	return &Error{TooLarge: true, message: fmt.Sprintf("it has more than %d %s", limit, thing)}
}

// checkBounds reads each line once, and allocates nothing for what exceeds a bound. Lines end as
// in RFC 8866 section 5, or with a single CR, which pion/sdp accepts too.
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

// counts are the counts of an offer so far.
type counts struct {
	lines, sections int
	section         sectionCounts
}

// sectionCounts are the counts of one section so far.
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
		return nil // a host with many interfaces has many candidates; see keptCandidates
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

// distinctFormats returns the formats of a media description, "media port proto fmt ..." (RFC
// 8866 section 5.14). It stops at one format more than maxFormats.
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
