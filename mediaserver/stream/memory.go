package stream

import "github.com/streampair/streampair/mediaserver/budget"

// Declared reports whether a StreamPair names the stream, or the parent of a derived one.
func (s *Stream) Declared() bool {
	if s.parent != nil {
		return s.parent.Declared()
	}
	return s.declared.Load()
}

// class returns the budget class of the stream's cache.
func (s *Stream) class() budget.Class {
	if s.Declared() {
		return budget.Declared
	}
	return budget.Undeclared
}

// Hold sets how many bytes the publisher's connection holds for the publication, for example in
// messages that are still incomplete. Hold reports whether the server has the memory. It always has
// the memory for a stream that a StreamPair names.
func (p *Publication) Hold(bytes int) bool {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.connectionMemory.Move(s.class())
	p.connectionMemory.Set(bytes)
	return s.Declared() || !p.connectionMemory.Short()
}

// shed frees cache memory if the budget is short.
func (p *Publication) shed() {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended || !p.cache.relieve() {
		return
	}
	s.metrics.CachesStarved.WithLabelValues(s.class().String()).Inc()
	if p == s.current {
		s.warnOfOverflow()
		s.notify()
	}
}
