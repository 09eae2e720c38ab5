package history

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Wants reports whether a receiver with this progress is to get an event, now or some time.
func Wants(n v1alpha1.Notification, progress v1alpha1.NotificationStatus, e v1alpha1.HistoryEntry) bool {
	if since := progress.Since; since != nil && e.Time.Before(&metav1.MicroTime{Time: since.Time}) {
		return false
	}
	return len(n.Events) == 0 || slices.Contains(n.Events, v1alpha1.NotificationEvent(e.Kind))
}

// Skipped returns the position of a receiver after the events that follow it and are not sent.
func Skipped(n v1alpha1.Notification, progress v1alpha1.NotificationStatus, entries []v1alpha1.HistoryEntry) int64 {
	following := slices.DeleteFunc(slices.Clone(entries), func(e v1alpha1.HistoryEntry) bool { return e.Number <= progress.Position })
	slices.SortFunc(following, func(a, b v1alpha1.HistoryEntry) int { return int(a.Number - b.Number) })
	position := progress.Position
	for _, e := range following {
		if Wants(n, progress, e) {
			break
		}
		position = e.Number
	}
	return position
}
