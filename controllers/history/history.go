// Package history makes one list of what the media pods of a pair tell of its past. [Merge] is where
// to start. The package is pure.
//
// Both pods of a pair make the same switches, and each of them keeps a list. The operator's list
// stands in the status of the pair, so that it outlasts pods. A pod that ends takes along only what
// it has not told.
package history

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// Max is how many entries a status has.
	Max = 50
	// sameEvent is how near the times of two pods must be to count as one event. Two pods make the
	// same switch some milliseconds apart.
	sameEvent = 2 * time.Second
)

// A Record is the history of a pair, as its status has it.
type Record struct {
	// Entries are the events, the newest first. Callers must not change them.
	Entries []v1alpha1.HistoryEntry
	// CompleteSince is since when no event is missing; nil: no pod has told a history.
	CompleteSince *metav1.MicroTime
}

// A Report is what one media pod tells.
type Report struct {
	// Started is when the media server started.
	Started time.Time
	// Entries are its events, the newest first. Nil: its version does not tell a history.
	Entries []control.HistoryEntry
}

// Merge returns the record with what the pods report, and after what time a pod's clock has to be
// waited for; 0: no event is ahead of now. A record that has all the events is returned as it is.
//
// An event that pods report within sameEvent of each other is one entry with the longer gap. An
// event that changes nothing in the record is left out. For example, a pod that has just started
// puts a leg on air that was on air anyway. A pod that follows the other pod late makes a switch that
// the record has.
func Merge(last Record, reports []Report, now time.Time) (Record, time.Duration) {
	l := newList(last)
	var wait time.Duration
	for i, r := range reports {
		if r.Entries == nil {
			continue
		}
		if last.CompleteSince == nil {
			l.reachesBackTo(r.since())
		}
		if w := l.merge(i+1, r, now); w > 0 && (wait == 0 || w < wait) {
			wait = w
		}
	}
	return l.record(), wait
}

// With returns the record with an event that the operator itself has found, if the event changes
// anything.
func (r Record) With(e v1alpha1.HistoryEntry) Record {
	l := newList(r)
	if l.stateAt(e.Time.Time).changedBy(e) {
		l.insert(e, 0)
	}
	return l.record()
}

// OnAir returns the leg that viewers get, and whether it is dark, by the newest events. Without a leg
// nothing is known, or it is dark.
func (r Record) OnAir() (leg v1alpha1.Role, dark bool) {
	if len(r.Entries) == 0 {
		return "", false
	}
	switch now := newList(r).stateAt(r.Entries[0].Time.Time); now.picture {
	case yes:
		return now.leg, false
	case no:
		return "", true
	}
	return "", false
}

// since returns since when the pod has kept all of its events.
func (r Report) since() time.Time {
	if len(r.Entries) >= control.MaxHistory {
		return r.Entries[len(r.Entries)-1].Time
	}
	return r.Started
}

// A list is a record that is being changed.
type list struct {
	items         []*item // by time, the oldest first
	full          bool    // older events have fallen off
	completeSince time.Time
}

// An item is an entry, and the number of the last report that has the event.
type item struct {
	v1alpha1.HistoryEntry
	claimed int
}

func newList(r Record) *list {
	l := &list{full: len(r.Entries) >= Max}
	for _, e := range slices.Backward(r.Entries) {
		l.items = append(l.items, &item{HistoryEntry: e})
	}
	if r.CompleteSince != nil {
		l.completeSince = r.CompleteSince.Time
	}
	return l
}

func (l *list) reachesBackTo(t time.Time) {
	if t = t.Truncate(time.Microsecond); l.completeSince.IsZero() || t.Before(l.completeSince) {
		l.completeSince = t
	}
}

// merge adds the events of the report with that number. It returns after what time an event that is
// ahead of now no longer is; 0: there is none.
func (l *list) merge(number int, r Report, now time.Time) time.Duration {
	var rest []v1alpha1.HistoryEntry
	var wait time.Duration
	for _, told := range slices.Backward(r.Entries) {
		e := v1alpha1.HistoryEntry{
			Kind: v1alpha1.HistoryKind(told.Kind), Time: metav1.NewMicroTime(told.Time.Truncate(time.Microsecond)),
			Leg: v1alpha1.Role(told.Leg), Reason: told.Reason, GapMilliseconds: told.GapMilliseconds,
		}
		if ahead := e.Time.Sub(now) - sameEvent; ahead > 0 {
			if wait == 0 || ahead < wait {
				wait = ahead
			}
			continue
		}
		// An event whose very time is known must not take the place of another one.
		if known := l.nearest(e, 0, number); known != nil {
			known.claim(e, number)
			continue
		}
		rest = append(rest, e)
	}
	slices.SortStableFunc(rest, func(a, b v1alpha1.HistoryEntry) int { return a.Time.Compare(b.Time.Time) })
	for _, e := range rest {
		switch known := l.nearest(e, sameEvent, number); {
		case known != nil:
			known.claim(e, number)
		case l.full && !e.Time.After(l.items[0].Time.Time):
			// It has fallen off the list.
		case l.stateAt(e.Time.Time).changedBy(e):
			l.insert(e, number)
		}
	}
	return wait
}

// nearest returns the item of the same event that is nearest to e in time, at most within away. An
// item that the report with that number has claimed is another event.
func (l *list) nearest(e v1alpha1.HistoryEntry, within time.Duration, number int) *item {
	var found *item
	for _, it := range l.items {
		if away := it.away(e); it.Kind == e.Kind && it.Leg == e.Leg && it.claimed != number && away <= within {
			if found == nil || away < found.away(e) {
				found = it
			}
		}
	}
	return found
}

func (it *item) away(e v1alpha1.HistoryEntry) time.Duration { return it.Time.Sub(e.Time.Time).Abs() }

// claim notes that the report with that number has the event too.
func (it *item) claim(e v1alpha1.HistoryEntry, number int) {
	it.claimed = number
	it.GapMilliseconds = max(it.GapMilliseconds, e.GapMilliseconds)
}

// insert adds an event in its place by time.
func (l *list) insert(e v1alpha1.HistoryEntry, claimed int) {
	at := len(l.items)
	for at > 0 && l.items[at-1].Time.After(e.Time.Time) {
		at--
	}
	l.items = slices.Insert(l.items, at, &item{e, claimed})
}

// record returns the list as a record. It numbers the new events, in the order of their times.
func (l *list) record() Record {
	var newest int64
	for _, it := range l.items {
		newest = max(newest, it.Number)
	}
	if drop := len(l.items) - Max; drop > 0 {
		l.items = l.items[drop:]
		l.completeSince = l.items[0].Time.Time
	}
	var r Record
	for _, it := range l.items {
		if it.Number == 0 {
			newest++
			it.Number = newest
		}
		r.Entries = append(r.Entries, it.HistoryEntry)
	}
	slices.Reverse(r.Entries)
	if !l.completeSince.IsZero() {
		since := metav1.NewMicroTime(l.completeSince)
		r.CompleteSince = &since
	}
	return r
}
