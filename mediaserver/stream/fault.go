package stream

import "slices"

// A Fault says why viewers cannot play a track that its publisher has announced. A track
// with a fault lowers the rank of its leg: a leg without a picture or sound must not look
// whole.
type Fault struct {
	// Code and Message are those of the Warning that is shown with the stream.
	Code, Message string
	// Limited reports whether some viewers can play the track all the same. Otherwise
	// nobody can, and the track counts as lost.
	Limited bool
}

// SetFault says that the publication's track of kind k has a fault; nil: the track has none
// any more. The track counts as announced from then on. SetFault may be called from any
// goroutine.
func (p *Publication) SetFault(k Kind, f *Fault) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	t := p.track(k)
	if p.ended || f == t.fault || f != nil && t.fault != nil && *f == *t.fault {
		return
	}
	t.fault = f
	if f != nil {
		if !t.announced {
			t.announce(nil, s.now())
		}
		p.logOnce(f.Code, f.Message)
	}
	s.notify()
}

// Warn shows a warning with the stream as long as the publication is on air. The same code
// twice is one warning. Warn may be called from any goroutine.
func (p *Publication) Warn(code, message string) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended || slices.ContainsFunc(p.warnings, func(w Warning) bool { return w.Code == code }) {
		return
	}
	p.warnings = append(p.warnings, Warning{code, message})
	p.logOnce(code, message)
	s.notify()
}

// logOnce logs what is wrong with the publication, once for each code. stream.mu is held.
func (p *Publication) logOnce(code, message string) {
	if !slices.Contains(p.logged, code) {
		p.logged = append(p.logged, code)
		p.stream.log.Warn(message, "code", code, "publication", p.id)
	}
}

// SetEntryOnDemand says whether viewers can begin with the derived stream although no IDR is
// cached: one is made as soon as there are viewers.
func (p *Publication) SetEntryOnDemand(can bool) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.entryOnDemand != can {
		p.entryOnDemand = can
		s.notify()
	}
}

// track returns the track of that kind. stream.mu is held.
func (p *Publication) track(k Kind) *track {
	if k == Audio {
		return &p.audio
	}
	return &p.video
}

// ownWarnings returns the publication's warnings, those of its faults first. stream.mu is
// held.
func (p *Publication) ownWarnings() []Warning {
	var warnings []Warning
	for _, t := range []*track{&p.video, &p.audio} {
		if t.fault != nil {
			warnings = append(warnings, Warning{t.fault.Code, t.fault.Message})
		}
	}
	return append(warnings, p.warnings...)
}
