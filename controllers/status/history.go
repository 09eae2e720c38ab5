package status

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/history"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// history returns the history of the last status, with what all pods tell. An ending pod and a pod
// that no longer answers count too, since what they have told remains true.
func (w *statusWriter) history(active *v1alpha1.ActiveStream) history.Record {
	var reports []history.Report
	for _, role := range objects.Roles() {
		for _, pod := range w.seen.Pods[role] {
			if p := observed.DeclaredPair(w.pair, pod.State.Status); p != nil {
				reports = append(reports, history.Report{Started: pod.State.Status.StartTime, Entries: p.History})
			}
		}
	}
	last := history.Record{Entries: w.last.History, CompleteSince: w.last.HistoryCompleteSince}
	record, wait := history.Merge(last, reports, w.now)
	if wait > 0 {
		w.changesIn(wait)
	}
	leg, dark := record.OnAir()
	event := v1alpha1.HistoryEntry{Time: metav1.NewMicroTime(w.now.Truncate(time.Microsecond))}
	switch {
	case leg != "" && w.pair.Spec.Paused:
		event.Kind, event.Leg, event.Reason = v1alpha1.HistoryDark, leg, v1alpha1.ReasonPaused
	case leg != "" && active == nil && w.legs.Primary.Pair == nil && w.legs.Backup.Pair == nil:
		// The pods that showed the picture have gone, and cannot tell that it is dark.
		event.Kind, event.Leg, event.Reason = v1alpha1.HistoryDark, leg, v1alpha1.ReasonPodNotReady
	case dark && active != nil && w.nobodyIsDark():
		// The pod that was dark has gone. The viewers of the other pod had a picture all along.
		event.Kind, event.Leg, event.Reason = v1alpha1.HistoryOnAir, active.Role, active.Reason
	default:
		return record
	}
	return record.With(event)
}

// nobodyIsDark reports whether all pods that tell a history say that their viewers get a picture. A
// pod whose picture comes and goes tells only later that the picture is back.
func (w *statusWriter) nobodyIsDark() bool {
	for _, v := range w.legs.Each() {
		if v.Pair == nil || v.Pair.History == nil {
			continue
		}
		own, _ := history.Merge(history.Record{}, []history.Report{{Entries: v.Pair.History}}, w.now)
		if _, dark := own.OnAir(); dark || v.Playing() == "" {
			return false
		}
	}
	return true
}

// notifications returns how far each receiver of events is. Events that a receiver does not get are
// done with in the write that has them.
func (w *statusWriter) notifications(record history.Record, progress func(string) v1alpha1.NotificationStatus) []v1alpha1.NotificationStatus {
	var list []v1alpha1.NotificationStatus
	for _, n := range w.pair.Spec.Notifications {
		since := metav1.NewTime(w.now.Truncate(time.Second))
		s := v1alpha1.NotificationStatus{Name: n.Name, Since: &since}
		for _, last := range w.last.Notifications {
			if last.Name == n.Name {
				s = last
			}
		}
		if progress != nil {
			if now := progress(n.Name); now.Name != "" && now.Position >= s.Position {
				s = now
			}
		}
		s.Position = history.Skipped(n, s, record.Entries)
		list = append(list, s)
	}
	return list
}
