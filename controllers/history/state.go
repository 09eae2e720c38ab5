package history

import (
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// A known is what the events so far tell of something that is so or not.
type known int

const (
	unknown known = iota
	yes
	no
)

// A state is how a pair stands by its events so far.
type state struct {
	picture known         // whether viewers get a picture
	leg     v1alpha1.Role // the leg on air, also while there is no picture; empty: unknown
	// redundant is whether both legs are whole. missing is the leg that is not.
	redundant known
	missing   v1alpha1.Role
}

// stateAt returns the state at t.
func (l *list) stateAt(t time.Time) state {
	var s state
	if l.full {
		// The events that say so may have fallen off.
		s.picture, s.redundant = yes, yes
	}
	for _, it := range l.items {
		if it.Time.After(t) {
			break
		}
		s = s.after(it.HistoryEntry)
	}
	return s
}

// after returns the state after an event.
func (s state) after(e v1alpha1.HistoryEntry) state {
	switch e.Kind {
	case v1alpha1.HistoryOnAir:
		s.picture, s.leg = yes, e.Leg
	case v1alpha1.HistoryDark:
		s.picture = no
	case v1alpha1.HistorySwitched:
		s.leg = e.Leg
	case v1alpha1.HistoryRedundant:
		s.redundant, s.missing = yes, ""
	case v1alpha1.HistoryRedundancyLost:
		s.redundant, s.missing = no, e.Leg
	}
	return s
}

// changedBy reports whether an event changes the state.
func (s state) changedBy(e v1alpha1.HistoryEntry) bool {
	switch e.Kind {
	case v1alpha1.HistoryOnAir:
		return s.picture != yes || s.leg != "" && s.leg != e.Leg
	case v1alpha1.HistoryDark:
		return s.picture != no
	case v1alpha1.HistorySwitched:
		return s.leg != e.Leg
	case v1alpha1.HistoryRedundant:
		return s.redundant != yes
	case v1alpha1.HistoryRedundancyLost:
		return s.redundant != no || s.missing != e.Leg
	}
	return false
}
