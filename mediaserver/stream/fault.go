package stream

import (
	"log/slog"
	"slices"
)

// A Fault says why viewers cannot play a track that its publisher has announced. A track with a
// fault lowers the rank of its leg: a leg without a picture or sound must not count as whole.
type Fault struct {
	// Code and Message are shown as a Warning with the stream.
	Code, Message string
	// Limited reports whether some viewers can play the track all the same. If not, nobody can, and
	// the track counts as lost.
	Limited bool
}

// SetFault sets the fault of the publication's track of kind k; nil: the track has no fault any
// more. The track counts as announced from then on. SetFault may be called from any goroutine.
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

// Warn shows a warning with the stream as long as the publication is on air. A second warning with
// the same code is ignored. Warn may be called from any goroutine.
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

// logOnce logs a fault or warning of the publication, once for each code. stream.mu must be held.
func (p *Publication) logOnce(code, message string) {
	if !slices.Contains(p.logged, code) {
		p.logged = append(p.logged, code)
		p.log(slog.LevelWarn, message, "code", code, "publication", p.id)
	}
}

// SetEntryOnDemand sets whether viewers can begin with the derived stream although no IDR is
// cached. They can if an IDR is made as soon as there are viewers.
func (p *Publication) SetEntryOnDemand(can bool) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.entryOnDemand != can {
		p.entryOnDemand = can
		s.notify()
	}
}

// track returns the track of kind k. stream.mu must be held.
func (p *Publication) track(k Kind) *track {
	if k == Audio {
		return &p.audio
	}
	return &p.video
}

// ownWarnings returns the publication's warnings, the warnings about faults first. stream.mu must
// be held.
func (p *Publication) ownWarnings() []Warning {
	var warnings []Warning
	for _, t := range []*track{&p.video, &p.audio} {
		if t.fault != nil {
			warnings = append(warnings, Warning{t.fault.Code, t.fault.Message})
		}
	}
	return append(warnings, p.warnings...)
}
