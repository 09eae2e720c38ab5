// Package rules checks the text of HLS and LL-HLS playlists against the rules of
// draft-pantos-hls-rfc8216bis-22. It also checks the media that the playlists name.
//
// It has no clock, network or file: texts, bytes and times are passed in. It checks servers and
// is no player. Encryption is not undone, and variables (EXT-X-DEFINE) are not replaced.
//
// Start from Check for one playlist, and from Checker for the successive playlists of one URL.
package rules

import (
	"fmt"
	"strings"
)

// A Breach is a place where a playlist departs from the draft.
type Breach struct {
	// Rule is the rule's short name, such as "part-duration-most".
	Rule string
	// Section is the section of draft-pantos-hls-rfc8216bis-22, such as "4.4.4.9".
	Section string
	// Advice is true where the draft says SHOULD, or recommends.
	Advice bool
	// Text says in one sentence what is wrong.
	Text string
}

// String returns the breach as one line.
func (b Breach) String() string {
	kind := "breach"
	if b.Advice {
		kind = "advice"
	}
	return fmt.Sprintf("%s %s (section %s): %s", kind, b.Rule, b.Section, b.Text)
}

// say notes a breach of the rule that is being checked.
type say func(format string, args ...any)

// A rule is one rule of the draft about a T.
type rule[T any] struct {
	name, section string
	advice        bool
	check         func(T, say)
}

const (
	must   = false
	should = true
)

// apply returns the breaches that the rules find in a subject.
func apply[T any](rules []rule[T], subject T) []Breach {
	var found []Breach
	for _, r := range rules {
		r.check(subject, func(format string, args ...any) {
			found = append(found, Breach{Rule: r.name, Section: r.section, Advice: r.advice, Text: fmt.Sprintf(format, args...)})
		})
	}
	return found
}

// Check returns the breaches of one playlist, which may be of either kind.
//
// A Playlist Delta Update has no full playlist here: what depends on it is not checked.
func Check(text string) []Breach {
	if IsMultivariant(text) {
		m, breaches := ParseMultivariant(text)
		return append(breaches, apply(multivariantRules, m)...)
	}
	m, breaches := ParseMedia(text)
	return append(breaches, m.check()...)
}

// IsMultivariant reports whether a playlist has a tag that only a multivariant playlist has.
func IsMultivariant(text string) bool {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "#"); ok {
			name, _, _ = strings.Cut(strings.TrimRight(name, "\r\n"), ":")
			if tags[name].kind == multivariantTag {
				return true
			}
		}
	}
	return false
}
