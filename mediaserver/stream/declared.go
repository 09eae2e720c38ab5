package stream

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// This file is about streams that no StreamPair names. If there are no StreamPairs, every stream is
// welcome. If there are some, an encoder that publishes another stream most likely has a misspelt
// URL, and nobody sees its media.

// warningUndeclared is the code of the warning that is shown with an undeclared stream.
const warningUndeclared = "UndeclaredStream"

// A declaration is the set of streams that StreamPairs name at one time. It never changes, so it is
// read without a lock. A nil declaration means that there are no StreamPairs.
type declaration struct{ keys map[Key]bool }

// omits reports whether there are StreamPairs, and none of them names k.
func (d *declaration) omits(k Key) bool { return d != nil && !d.keys[k] }

// advice returns the warning for the publisher of k, which d omits.
func (d *declaration) advice(k Key) string {
	return fmt.Sprintf("No StreamPair names %s, so nobody watches it as part of a pair. The nearest stream that one names is %s: correct the encoder's URL, or add a StreamPair.",
		k, Nearest(k, d.keys))
}

// Declare replaces the set of streams that StreamPairs name. The caches of these streams come first
// when the memory budget is short.
func (r *Registry) Declare(keys []Key) {
	for _, s := range r.declare(keys) {
		s.advise()
	}
}

// declare does what Declare does, but does not advise publishers. It returns the streams.
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

// Nearest returns the key with the smallest edit distance to k. Of several such keys it returns the
// first by name. Without keys it returns the zero Key.
func Nearest(k Key, keys map[Key]bool) Key {
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

// comparedLetters is how many letters of two names are compared. Publishers choose their names,
// which may have 257 letters, and the work grows with the square of the length.
const comparedLetters = 64

// editDistance returns how many letters must be inserted, deleted or replaced to turn a into b
// (Levenshtein). It ignores case, and compares the first comparedLetters of each.
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

// setDeclared sets which streams StreamPairs name. advise warns the publisher afterwards.
func (s *Stream) setDeclared(d *declaration) {
	s.declared.Store(d != nil && !d.omits(s.key))
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.undeclaredIn
	if s.undeclaredIn = nil; d.omits(s.key) {
		s.undeclaredIn = d
	}
	if s.undeclaredIn == nil || s.current == nil {
		s.advisedFor, s.advice = nil, "" // the advice is out of date; while somebody publishes, advise replaces it
	}
	if s.current != nil && (was != nil) != (s.undeclaredIn != nil) {
		s.notify()
	}
}

// advise warns the publisher of a stream that no StreamPair names, unless it has been warned. The
// nearest name is found without a lock: that takes a while if there are many names, and strangers
// choose when it is done.
func (s *Stream) advise() {
	d := s.needsAdvice()
	if d == nil {
		return
	}
	advice := d.advice(s.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undeclaredIn != d || s.advisedFor == d {
		return // another set was declared meanwhile, or another goroutine was faster
	}
	changed := s.advice != advice
	s.advisedFor, s.advice = d, advice
	if changed && s.current != nil {
		s.warnUndeclared()
		s.notify()
	}
}

// needsAdvice returns the declaration that omits the stream if the stream's publisher has yet to be
// warned; else nil.
func (s *Stream) needsAdvice() *declaration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.advisedFor == s.undeclaredIn {
		return nil
	}
	return s.undeclaredIn
}

// warnUndeclared logs that somebody publishes a stream that no StreamPair names. s.mu must be held.
func (s *Stream) warnUndeclared() {
	if s.advice != "" {
		s.current.log(slog.LevelWarn, s.advice, "code", warningUndeclared)
	}
}

// standingWarnings returns the warnings that do not end with a publication. s.mu must be held.
func (s *Stream) standingWarnings() []Warning {
	warnings := slices.Clone(s.expulsionWarning(s.now()))
	if s.advice != "" && s.current != nil {
		warnings = append(warnings, Warning{warningUndeclared, s.advice})
	}
	return warnings
}
