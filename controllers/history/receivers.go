package history

import (
	"slices"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Wants reports whether a receiver wants an event.
func Wants(n v1alpha1.Notification, e v1alpha1.HistoryEntry) bool {
	return len(n.Events) == 0 || slices.Contains(n.Events, v1alpha1.NotificationEvent(e.Kind))
}

// Skipped returns the position after the events that follow it and that the receiver does not want.
func Skipped(n v1alpha1.Notification, position int64, entries []v1alpha1.HistoryEntry) int64 {
	following := slices.DeleteFunc(slices.Clone(entries), func(e v1alpha1.HistoryEntry) bool { return e.Number <= position })
	slices.SortFunc(following, func(a, b v1alpha1.HistoryEntry) int { return int(a.Number - b.Number) })
	for _, e := range following {
		if Wants(n, e) {
			break
		}
		position = e.Number
	}
	return position
}
