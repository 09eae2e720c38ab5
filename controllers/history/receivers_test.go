package history

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestEventsThatAReceiverDoesNotWantAreSkipped(t *testing.T) {
	record, _ := Merge(Record{}, []Report{pod("0 OnAir Primary", "1 Redundant Backup", "2 Switched Backup", "3 RedundancyLost Primary")}, at(100))
	for _, tt := range []struct {
		name           string
		wants          []v1alpha1.NotificationEvent
		since          float64
		position, want int64
	}{
		{"all are wanted", nil, 0, 0, 0},
		{"those before the first one that is wanted", []v1alpha1.NotificationEvent{"Switched"}, 0, 0, 2},
		{"those after the last one that is wanted", []v1alpha1.NotificationEvent{"Switched"}, 0, 3, 4},
		{"none is wanted", []v1alpha1.NotificationEvent{"Dark"}, 0, 0, 4},
		{"those from before the receiver was there", nil, 2, 0, 2},
		{"all are done with", nil, 0, 4, 4},
	} {
		since := metav1.NewTime(at(tt.since))
		progress := v1alpha1.NotificationStatus{Since: &since, Position: tt.position}
		if got := Skipped(v1alpha1.Notification{Events: tt.wants}, progress, record.Entries); got != tt.want {
			t.Errorf("%s: position %d, want %d", tt.name, got, tt.want)
		}
	}
}
