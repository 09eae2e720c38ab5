package conformance

import (
	"regexp"
	"strings"
)

// A section is a media section of a session description.
type section struct {
	kind, port string
	text       string // with the session's attributes before it
}

// sectionsOf returns the media sections of a session description. It reads whatever a server sends.
func sectionsOf(text string) []section {
	parts := strings.Split("\n"+strings.ReplaceAll(text, "\r\n", "\n"), "\nm=")
	var all []section
	for _, part := range parts[1:] {
		fields := append(strings.Fields(part), "", "")
		all = append(all, section{fields[0], fields[1], parts[0] + "\nm=" + part + "\n"})
	}
	return all
}

// has reports whether the section has an attribute, such as rtcp-mux.
func (s section) has(attribute string) bool { return strings.Contains(s.text, "\na="+attribute+"\n") }

// values returns the values of an attribute, those of the session first.
func (s section) values(attribute string) []string {
	var all []string
	for line := range strings.Lines(s.text) {
		if value, ok := strings.CutPrefix(line, "a="+attribute+":"); ok {
			all = append(all, strings.TrimSpace(value))
		}
	}
	return all
}

// value returns the value of an attribute; empty: there is none. A section's own goes before the
// session's.
func (s section) value(attribute string) string {
	all := s.values(attribute)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// direction returns the direction, RFC 8866 section 6.7.
func (s section) direction() string {
	for _, d := range []string{"sendonly", "recvonly", "inactive"} {
		if s.has(d) {
			return d
		}
	}
	return "sendrecv"
}

// withForeignFormats gives all formats of an offer names of codecs that nobody has.
func withForeignFormats(offer string) string {
	return regexp.MustCompile(`(?m)^(a=rtpmap:\d+ )[^/\r\n]+`).ReplaceAllString(offer, "${1}X-UNKNOWN")
}

// withSecondVideo adds a second video track to an offer.
func withSecondVideo(offer string) string {
	i := strings.Index(offer, "m=video")
	if i < 0 {
		return offer
	}
	end := len(offer)
	if j := strings.Index(offer[i+1:], "\r\nm="); j >= 0 {
		end = i + 1 + j + 2
	}
	second := regexp.MustCompile(`(?m)^a=(mid:).*\r$`).ReplaceAllString(offer[i:end], "a=${1}second\r")
	second = regexp.MustCompile(`(?m)^a=(ssrc|ssrc-group|candidate|end-of-candidates).*\r\n`).ReplaceAllString(second, "")
	// Another track of the same stream.
	second = regexp.MustCompile(`(?m)^a=msid:(\S+) .*\r$`).ReplaceAllString(second, "a=msid:${1} second\r")
	grouped := regexp.MustCompile(`(?m)^(a=group:BUNDLE.*)\r$`).ReplaceAllString(offer, "${1} second\r")
	return grouped + second
}

// withMuxOnly adds the attribute that clients must send, RFC 9725 section 4.4.1.
func withMuxOnly(offer string) string {
	return strings.ReplaceAll(offer, "a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
}
