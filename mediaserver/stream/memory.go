package stream

import "github.com/streampair/streampair/mediaserver/budget"

// Declared reports whether a StreamPair names the stream, or the parent of a derived one.
func (s *Stream) Declared() bool {
	if s.parent != nil {
		return s.parent.Declared()
	}
	return s.declared.Load()
}

// class is for what the stream's cache spends memory.
func (s *Stream) class() budget.Class {
	if s.Declared() {
		return budget.Declared
	}
	return budget.Undeclared
}

// shed gives memory back if others need it.
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
