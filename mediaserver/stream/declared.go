package stream

import (
	"fmt"
	"slices"
	"strings"
)

// This file is about streams that no StreamPair names. Where there are no StreamPairs every
// stream is welcome. Where there are some, an encoder that publishes another stream is most
// likely misspelt, and nobody sees what it sends.

// warningUndeclared is the code of the warning shown with such a stream.
const warningUndeclared = "UndeclaredStream"

// Declare replaces the set of streams that StreamPairs name. Their caches come first when
// the memory budget is short.
func (r *Registry) Declare(keys []Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.declared = make(map[Key]bool)
	for _, k := range keys {
		r.declared[k] = true
	}
	for _, s := range r.streams {
		s.setDeclared(r.declared[s.key], r.undeclared(s.key))
	}
}

// undeclared returns what to tell the publisher of k; "" if k is declared or nothing is.
// r.mu is held.
func (r *Registry) undeclared(k Key) string {
	if len(r.declared) == 0 || r.declared[k] {
		return ""
	}
	return fmt.Sprintf("No StreamPair names %s, so nobody watches it as part of a pair. The nearest stream that one names is %s: correct the encoder's URL, or add a StreamPair.",
		k, nearest(k, r.declared))
}

// nearest returns the key with the smallest edit distance to k; of several the first by
// name.
func nearest(k Key, keys map[Key]bool) Key {
	var best Key
	least := -1
	for candidate := range keys {
		d := editDistance(k.String(), candidate.String())
		if least < 0 || d < least || d == least && strings.Compare(candidate.String(), best.String()) < 0 {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance is the number of letters to insert, delete or replace to make b of a
// (Levenshtein), without regard to case.
func editDistance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// setDeclared says whether a StreamPair names the stream, and what to tell its publisher if
// not.
func (s *Stream) setDeclared(declared bool, undeclared string) {
	s.declared.Store(declared)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undeclared == undeclared {
		return
	}
	s.undeclared = undeclared
	if s.current != nil {
		s.warnUndeclared()
		s.notify()
	}
}

// warnUndeclared logs that no StreamPair names the stream that somebody publishes. s.mu is
// held.
func (s *Stream) warnUndeclared() {
	if s.undeclared != "" {
		s.log.Warn(s.undeclared, "code", warningUndeclared)
	}
}

// standingWarnings are those that do not end with a publication. s.mu is held.
func (s *Stream) standingWarnings() []Warning {
	warnings := slices.Clone(s.expulsionWarning(s.now()))
	if s.undeclared != "" && s.current != nil {
		warnings = append(warnings, Warning{warningUndeclared, s.undeclared})
	}
	return warnings
}
