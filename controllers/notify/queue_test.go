package notify

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/history"
)

var begin = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// switches returns a history of switches with these numbers; the newest is first.
func switches(numbers ...int64) []v1alpha1.HistoryEntry {
	var list []v1alpha1.HistoryEntry
	for _, n := range numbers {
		list = append([]v1alpha1.HistoryEntry{{
			Number: n, Kind: v1alpha1.HistorySwitched, Leg: v1alpha1.RoleBackup, Reason: "Selected",
			Time: metav1.NewMicroTime(begin.Add(time.Duration(n) * time.Second)),
		}}, list...)
	}
	return list
}

func all(v1alpha1.HistoryEntry) bool { return true }

// numbers returns the numbers of the events that wait.
func (q queue) numbers() []int64 {
	var list []int64
	for _, w := range q.waiting {
		list = append(list, w.entry.Number)
	}
	return list
}

func TestAQueueHasWhatTheReceiverLacks(t *testing.T) {
	var many []int64
	for n := range int64(history.Max + 10) {
		many = append(many, n+1)
	}
	for _, tt := range []struct {
		name        string
		position    int64
		before, now []int64 // the numbers in the history
		want        []int64
		undelivered int64
	}{
		{name: "nothing has happened"},
		{name: "the oldest is first", now: []int64{1, 2, 3}, want: []int64{1, 2, 3}},
		{name: "what is delivered is not sent again", position: 2, now: []int64{1, 2, 3}, want: []int64{3}},
		{name: "an event that is learned late comes last", position: 2, now: []int64{4, 3}, want: []int64{3, 4}},
		{name: "what waits already waits once", before: []int64{1, 2}, now: []int64{1, 2, 3}, want: []int64{1, 2, 3}},
		{name: "what has fallen off the history still waits", before: []int64{1, 2}, now: []int64{2, 3}, want: []int64{1, 2, 3}},
		{name: "too many wait: the oldest are given up", before: many[:history.Max], now: many[10:], want: many[10:], undelivered: 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := queue{progress: v1alpha1.NotificationStatus{Position: tt.position}}
			q = q.with(switches(tt.before...), all, begin).with(switches(tt.now...), all, begin.Add(time.Minute))
			if diff := cmp.Diff(tt.want, q.numbers()); diff != "" || q.progress.Undelivered != tt.undelivered {
				t.Errorf("%d undelivered, want %d; waiting (-want +got):\n%s", q.progress.Undelivered, tt.undelivered, diff)
			}
		})
	}
}

func TestTheGapOfAnEventMayBeKnownBetterLater(t *testing.T) {
	first, second := switches(1), switches(1)
	second[0].GapMilliseconds = 67
	q := queue{}.with(first, all, begin).with(second, all, begin.Add(time.Second))
	if e, wait, _ := q.next(begin.Add(time.Second)); e.GapMilliseconds != 67 || wait != time.Second {
		t.Errorf("gap %d in %v, want 67 in 1s", e.GapMilliseconds, wait)
	}
}

func TestAnEventIsTriedForAnHour(t *testing.T) {
	q := queue{progress: v1alpha1.NotificationStatus{Name: "studio"}}.with(switches(1, 2), all, begin)
	now := begin
	var steps []string
	for range 100 {
		e, wait, found := q.next(now)
		if !found {
			break
		}
		now = now.Add(wait)
		code := 503
		if now.Sub(begin) > 70*time.Minute { // the receiver is back
			code = 204
		}
		var end outcome
		q, end = q.after(fmt.Sprint("id-", e.Number), code, now, 0)
		steps = append(steps, fmt.Sprintf("%v: %d %v", now.Sub(begin), e.Number, end))
	}
	want := []string{
		"2s: 1 failed", "3s: 1 failed", "5s: 1 failed", "9s: 1 failed", "17s: 1 failed", "33s: 1 failed", "1m5s: 1 failed",
		"2m9s: 1 failed", "4m17s: 1 failed", "8m33s: 1 failed", "13m33s: 1 failed", "18m33s: 1 failed", "23m33s: 1 failed",
		"28m33s: 1 failed", "33m33s: 1 failed", "38m33s: 1 failed", "43m33s: 1 failed", "48m33s: 1 failed", "53m33s: 1 failed",
		"58m33s: 1 failed", "1h3m33s: 1 gave_up", "1h8m33s: 2 gave_up",
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	q = q.with(switches(1, 2, 3), all, now)
	_, wait, _ := q.next(now)
	now = now.Add(wait)
	q, _ = q.after("id-3", 204, now, 0)
	taken := metav1.NewTime(now.Truncate(time.Second))
	if diff := cmp.Diff(v1alpha1.NotificationStatus{
		Name: "studio", Position: 3, LastDeliveredID: "id-3", LastDeliveryTime: &taken, LastStatusCode: 204, Undelivered: 2,
	}, q.progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestWaitsAreSpread(t *testing.T) {
	q := queue{}.with(switches(1), all, begin)
	for _, tt := range []struct {
		spread float64
		want   time.Duration
	}{{0, time.Second}, {0.5, 750 * time.Millisecond}, {1, 500 * time.Millisecond}} {
		failing, _ := q.after("", 0, begin.Add(time.Minute), tt.spread)
		if _, wait, _ := failing.next(begin.Add(time.Minute)); wait != tt.want {
			t.Errorf("spread %v: wait %v, want %v", tt.spread, wait, tt.want)
		}
	}
}
