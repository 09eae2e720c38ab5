// Package oneline makes text of other programs safe to
// show: one line, printable, and of bounded length.
package oneline

import (
	"strings"
	"unicode"
)

const (
	// MaxLength bounds the text that Of returns, in bytes, without the ellipsis.
	MaxLength = 1 << 10
	// MaxShort is the same for Short.
	MaxShort = 512
)

// Of returns text of a pod as one line of printable characters, at most MaxLength bytes long.
func Of(text string) string {
	if len(text) > MaxLength {
		text = text[:MaxLength] + "…"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.IsSpace(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(text), " ")
}

// Short is Of for a text that is one of several in the
// status of a pair. It bounds the text to MaxShort.
func Short(text string) string {
	if len(text) > MaxShort {
		text = text[:MaxShort] + "…"
	}
	return Of(text)
}
