package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file is about streams that no StreamPair names. Where there are no StreamPairs every
// stream is welcome. Where there are some, an encoder that publishes another stream is most
// likely misspelt, and nobody sees what it sends.

// warningUndeclared is the code of the warning shown with such a stream.
const warningUndeclared = "UndeclaredStream"

// A declaration is the set of streams that StreamPairs name at a time. It never changes, so
// it is read without a lock. nil is that of no StreamPair.
type declaration struct{ keys map[Key]bool }

// omits reports whether there are StreamPairs, and none of them names k.
func (d *declaration) omits(k Key) bool { return d != nil && !d.keys[k] }

// advice is what to tell the publisher of k, which d omits.
func (d *declaration) advice(k Key) string {
	return fmt.Sprintf("No StreamPair names %s, so nobody watches it as part of a pair. The nearest stream that one names is %s: correct the encoder's URL, or add a StreamPair.",
		k, nearest(k, d.keys))
}

// Declare replaces the set of streams that StreamPairs name. Their caches come first when
// the memory budget is short.
func (r *Registry) Declare(keys []Key) {
	for _, s := range r.declare(keys) {
		s.advise()
	}
}

// declare is Declare without its advice to publishers. It returns the streams.
func (r *Registry) declare(keys []Key) []*Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.declared = nil
	if len(keys) > 0 {
		r.declared = &declaration{make(map[Key]bool)}
	}
	for _, k := range keys {
		r.declared.keys[k] = true
	}
	streams := slices.Collect(maps.Values(r.streams))
	for _, s := range streams {
		s.setDeclared(r.declared)
	}
	return streams
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

// comparedLetters of two names are compared at most. Publishers choose their names, which may
// have 257 letters, and the work grows with the square.
const comparedLetters = 64

// editDistance is the number of letters to insert, delete or replace to make b of a
// (Levenshtein), without regard to case, of their first comparedLetters.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), comparedLetters)], b[:min(len(b), comparedLetters)]
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

// setDeclared says which streams StreamPairs name. What to tell a publisher is left to advise.
func (s *Stream) setDeclared(d *declaration) {
	s.declared.Store(d != nil && !d.omits(s.key))
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.omittedBy
	if s.omittedBy = nil; d.omits(s.key) {
		s.omittedBy = d
	}
	if s.omittedBy == nil || s.current == nil {
		s.advised, s.advice = nil, "" // of a set that is out of date; advise replaces that of a publisher
	}
	if s.current != nil && (was != nil) != (s.omittedBy != nil) {
		s.notify()
	}
}

// advise tells the publisher of a stream that no StreamPair names, unless it has been told.
// The nearest name is found without a lock. It takes a while if there are many, and strangers
// choose when.
func (s *Stream) advise() {
	d := s.unadvised()
	if d == nil {
		return
	}
	advice := d.advice(s.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.omittedBy != d || s.advised == d {
		return // another set was declared meanwhile, or somebody else was faster
	}
	changed := s.advice != advice
	s.advised, s.advice = d, advice
	if changed && s.current != nil {
		s.warnUndeclared()
		s.notify()
	}
}

// unadvised returns the declaration that omits the stream, if the stream's publisher is to be
// told; else nil.
func (s *Stream) unadvised() *declaration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.advised == s.omittedBy {
		return nil
	}
	return s.omittedBy
}

// warnUndeclared logs that no StreamPair names the stream that somebody publishes. s.mu is
// held.
func (s *Stream) warnUndeclared() {
	if s.advice != "" {
		s.log.Warn(s.advice, "code", warningUndeclared)
	}
}

// standingWarnings are those that do not end with a publication. s.mu is held.
func (s *Stream) standingWarnings() []Warning {
	warnings := slices.Clone(s.expulsionWarning(s.now()))
	if s.advice != "" && s.current != nil {
		warnings = append(warnings, Warning{warningUndeclared, s.advice})
	}
	return warnings
}
