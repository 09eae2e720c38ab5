package main

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// A report sums up what a pair's history says of a time. Its JSON names are API.
type report struct {
	Pair string `json:"pair"`
	// From and To are the time that the report is about. Asked is since when a report was asked for;
	// nil: since the history is complete.
	From  time.Time  `json:"from"`
	To    time.Time  `json:"to"`
	Asked *time.Time `json:"asked,omitempty"`
	// CompleteSince is since when the history has every event. From is never earlier.
	CompleteSince time.Time `json:"completeSince"`
	Minutes       minutes   `json:"minutes"`
	// Switches are the switches and the times without a picture, the oldest first.
	Switches []reportedSwitch `json:"switches"`
	Dark     []reportedDark   `json:"dark"`
}

// minutes are how long the pair was in each state. WithoutRedundancy is a part of Primary and Backup.
type minutes struct {
	Primary           float64 `json:"primary"`
	Backup            float64 `json:"backup"`
	Dark              float64 `json:"dark"`
	OffAir            float64 `json:"offAir"`
	WithoutRedundancy float64 `json:"withoutRedundancy"`
}

type reportedSwitch struct {
	Time            time.Time     `json:"time"`
	To              v1alpha1.Role `json:"to"`
	GapMilliseconds int64         `json:"gapMilliseconds"`
	Reason          string        `json:"reason"`
}

type reportedDark struct {
	From time.Time `json:"from"`
	// To is absent while it is still dark.
	To     *time.Time `json:"to,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// newReport returns the report about the time from since to now. A zero since means: since the
// history is complete. It is pure, and returns false if the pair has no history.
func newReport(pair *v1alpha1.StreamPair, since, now time.Time) (report, bool) {
	complete := pair.Status.HistoryCompleteSince
	if complete == nil {
		return report{}, false
	}
	r := report{
		Pair: pair.Namespace + "/" + pair.Name, From: complete.UTC(), To: now.UTC(), CompleteSince: complete.UTC(),
		Switches: []reportedSwitch{}, Dark: []reportedDark{},
	}
	if !since.IsZero() {
		asked := since.UTC()
		r.Asked = &asked
		if asked.After(r.From) {
			r.From = asked
		}
	}
	events := slices.Clone(pair.Status.History)
	slices.Reverse(events)
	slices.SortStableFunc(events, func(a, b v1alpha1.HistoryEntry) int { return a.Time.Compare(b.Time.Time) })

	s := stateBefore(events, &pair.Status)
	for len(events) > 0 && !events[0].Time.After(r.From) {
		s, events = s.after(events[0]), events[1:]
	}
	if s.show == dark {
		r.Dark = append(r.Dark, reportedDark{From: r.From})
	}
	at := r.From
	for _, e := range events {
		if e.Time.After(r.To) {
			break
		}
		r.Minutes.add(s, e.Time.Sub(at))
		at = e.Time.UTC()
		r.list(e, s)
		s = s.after(e)
	}
	r.Minutes.add(s, max(r.To.Sub(at), 0))
	r.Minutes.round()
	return r, true
}

// list adds what the report lists of an event, which happened in state s.
func (r *report) list(e v1alpha1.HistoryEntry, s pairState) {
	at := e.Time.UTC()
	switch is := s.after(e); {
	case e.Kind == v1alpha1.HistorySwitched:
		r.Switches = append(r.Switches, reportedSwitch{Time: at, To: e.Leg, GapMilliseconds: e.GapMilliseconds, Reason: e.Reason})
	case s.show != dark && is.show == dark:
		r.Dark = append(r.Dark, reportedDark{From: at, Reason: e.Reason})
	case s.show == dark && is.show != dark:
		r.Dark[len(r.Dark)-1].To = &at
	}
}

// A show is what viewers get.
type show int

const (
	offAir show = iota // the pair has not started, or is paused
	onAir
	dark
)

// A pairState is how a pair stands between two events.
type pairState struct {
	show      show
	leg       v1alpha1.Role // the leg that is on air, or was last
	redundant bool
}

// stateBefore returns the state before the first event. The events that say so may have fallen off
// the list, but the first event of each kind tells what was before it. Without any event, things are
// as the status says now.
func stateBefore(events []v1alpha1.HistoryEntry, status *v1alpha1.StreamPairStatus) pairState {
	now := pairState{show: offAir, redundant: true}
	if a := status.ActiveStream; a != nil {
		now.show, now.leg = onAir, a.Role
	}
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionRedundant {
			now.redundant = c.Status == metav1.ConditionTrue || c.Reason == v1alpha1.ReasonSameNode
		}
	}
	s := now
	for _, e := range slices.Backward(events) {
		switch e.Kind {
		case v1alpha1.HistoryOnAir:
			s.show, s.leg = offAir, e.Leg
			if e.GapMilliseconds > 0 {
				s.show = dark
			}
		case v1alpha1.HistoryDark:
			s.show, s.leg = onAir, e.Leg
		case v1alpha1.HistorySwitched:
			s.leg = objects.OtherRole(e.Leg)
		case v1alpha1.HistoryRedundant:
			s.redundant = false
		case v1alpha1.HistoryRedundancyLost:
			s.redundant = true
		}
	}
	return s
}

// after returns the state after an event.
func (s pairState) after(e v1alpha1.HistoryEntry) pairState {
	switch e.Kind {
	case v1alpha1.HistoryOnAir:
		s.show, s.leg = onAir, e.Leg
	case v1alpha1.HistoryDark:
		s.show = dark
		if e.Reason == v1alpha1.ReasonPaused {
			s.show = offAir
		}
	case v1alpha1.HistorySwitched:
		s.leg = e.Leg
	case v1alpha1.HistoryRedundant:
		s.redundant = true
	case v1alpha1.HistoryRedundancyLost:
		s.redundant = false
	}
	return s
}

// add counts a time in which the pair was in state s.
func (m *minutes) add(s pairState, d time.Duration) {
	spent := d.Minutes()
	switch {
	case s.show == dark:
		m.Dark += spent
		return
	case s.show == offAir:
		m.OffAir += spent
		return
	case s.leg == v1alpha1.RolePrimary:
		m.Primary += spent
	default:
		m.Backup += spent
	}
	if !s.redundant {
		m.WithoutRedundancy += spent
	}
}

// round rounds to the hundredth of a minute.
func (m *minutes) round() {
	for _, f := range []*float64{&m.Primary, &m.Backup, &m.Dark, &m.OffAir, &m.WithoutRedundancy} {
		*f = float64(int64(*f*100+0.5)) / 100
	}
}
