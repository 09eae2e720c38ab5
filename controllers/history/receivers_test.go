package history

import (
	"testing"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestEventsThatAReceiverDoesNotWantAreSkipped(t *testing.T) {
	record, _ := Merge(Record{}, []Report{pod("0 OnAir Primary", "1 Redundant Backup", "2 Switched Backup", "3 RedundancyLost Primary")}, at(100))
	for _, tt := range []struct {
		name           string
		wants          []v1alpha1.NotificationEvent
		position, want int64
	}{
		{"all are wanted", nil, 0, 0},
		{"those before the first one that is wanted", []v1alpha1.NotificationEvent{"Switched"}, 0, 2},
		{"those after the last one that is wanted", []v1alpha1.NotificationEvent{"Switched"}, 3, 4},
		{"none is wanted", []v1alpha1.NotificationEvent{"Dark"}, 0, 4},
		{"all are done with", nil, 4, 4},
	} {
		if got := Skipped(v1alpha1.Notification{Events: tt.wants}, tt.position, record.Entries); got != tt.want {
			t.Errorf("%s: position %d, want %d", tt.name, got, tt.want)
		}
	}
}
