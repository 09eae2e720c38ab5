package notify

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/history"
)

const (
	// settleTime is how long an event waits before it is sent. By then the pair's other pod has told
	// the event, too, and its gap is known.
	settleTime = 2 * time.Second
	// An event that was not taken is sent again after firstRetry. The wait doubles up to longestRetry.
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
	// giveUpAfter is how long an event is sent again. An operator that restarts begins anew.
	giveUpAfter = time.Hour
)

// A queue has the events that a receiver has not got yet. It is a value: its methods are pure.
type queue struct {
	progress v1alpha1.NotificationStatus
	waiting  []waiting // by number; at most history.Max
	failures int       // attempts since the last delivery
	retry    time.Time // when the next attempt may be made; zero: at any time
}

// A waiting is an event that a receiver is to get.
type waiting struct {
	entry v1alpha1.HistoryEntry
	since time.Time // when the operator began to wait
}

// with returns the queue with the events of a history that the receiver wants and has not got.
func (q queue) with(entries []v1alpha1.HistoryEntry, wants func(v1alpha1.HistoryEntry) bool, now time.Time) queue {
	kept := slices.Clone(q.waiting)
	for _, e := range entries {
		if e.Number <= q.progress.Position || !wants(e) {
			continue
		}
		at := slices.IndexFunc(kept, func(w waiting) bool { return w.entry.Number == e.Number })
		if at < 0 {
			kept = append(kept, waiting{e, now})
			continue
		}
		kept[at].entry = e // its gap may be known better by now
	}
	slices.SortFunc(kept, func(a, b waiting) int { return int(a.entry.Number - b.entry.Number) })
	for len(kept) > history.Max {
		q.progress.Position = kept[0].entry.Number
		q.progress.Undelivered++
		kept = kept[1:]
	}
	q.waiting = kept
	return q
}

// next returns the event to be sent next, and how long to wait for that. It returns false if there is
// no event.
func (q queue) next(now time.Time) (v1alpha1.HistoryEntry, time.Duration, bool) {
	if len(q.waiting) == 0 {
		return v1alpha1.HistoryEntry{}, 0, false
	}
	first := q.waiting[0]
	at := first.since.Add(settleTime)
	if q.retry.After(at) {
		at = q.retry
	}
	return first.entry, max(at.Sub(now), 0), true
}

// An outcome is how an attempt to send an event ended.
type outcome int

const (
	delivered outcome = iota
	failed            // and is tried again
	gaveUp            // it failed for too long
)

// after returns the queue after an attempt to send its first event under this id. The receiver
// answered with this code; 0: it did not answer. The next wait is shorter by the part spread, which
// is 0 to 1, of its half.
func (q queue) after(id string, code int, now time.Time, spread float64) (queue, outcome) {
	first := q.waiting[0]
	q.progress.LastStatusCode = int32(code)
	if code >= 200 && code < 300 {
		taken := metav1.NewTime(now.Truncate(time.Second))
		q.progress.Position, q.progress.LastDeliveredID, q.progress.LastDeliveryTime = first.entry.Number, id, &taken
		q.waiting, q.failures, q.retry = q.waiting[1:], 0, time.Time{}
		return q, delivered
	}
	wait := min(firstRetry<<min(q.failures, 16), longestRetry)
	q.failures++
	q.retry = now.Add(wait - time.Duration(float64(wait/2)*spread))
	if now.Sub(first.since) < giveUpAfter {
		return q, failed
	}
	q.progress.Position = first.entry.Number
	q.progress.Undelivered++
	q.waiting = q.waiting[1:]
	return q, gaveUp
}
