package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestEventsAreOnEdgesOnly(t *testing.T) {
	at := func(d time.Duration, from, to v1alpha1.Role, reason string) *v1alpha1.Switch {
		return &v1alpha1.Switch{From: from, To: to, Reason: reason, Time: metav1.NewTime(sceneNow.Add(d))}
	}
	status := func(primary string, last *v1alpha1.Switch) *v1alpha1.StreamPairStatus {
		state := metav1.ConditionFalse
		if primary == v1alpha1.ReasonLive || primary == v1alpha1.ReasonPublisherConflict {
			state = metav1.ConditionTrue
		}
		return &v1alpha1.StreamPairStatus{LastSwitch: last, Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionPrimaryLive, Status: state, Reason: primary, Message: "The encoder went."},
		}}
	}
	lost := at(0, rolePrimary, roleBackup, v1alpha1.SwitchPrimaryInputLost)
	for _, test := range []struct {
		name          string
		before, after *v1alpha1.StreamPairStatus
		want          []string
	}{
		{"a new pair", &v1alpha1.StreamPairStatus{}, status(v1alpha1.ReasonWaitingForPublisher, nil), nil},
		{"the first encoder", status(v1alpha1.ReasonWaitingForPublisher, nil), status(v1alpha1.ReasonLive, nil), nil},
		{"the primary is lost", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonInputLost, lost),
			[]string{"Warning FailedOver", "Warning InputLost"}},
		{"it stays lost", status(v1alpha1.ReasonInputLost, lost), status(v1alpha1.ReasonInputLost, lost), nil},
		{"it is back", status(v1alpha1.ReasonInputLost, lost), status(v1alpha1.ReasonLive, lost), []string{"Normal InputRecovered"}},
		{"its pod went while it was lost", status(v1alpha1.ReasonInputLost, lost), status(v1alpha1.ReasonPodNotReady, lost), nil},
		{"the backup is lost in its turn", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, roleBackup, rolePrimary, v1alpha1.SwitchBackupDisconnected)),
			[]string{"Warning FailedOver"}},
		{"the pair goes back", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, roleBackup, rolePrimary, v1alpha1.SwitchPrimaryRecovered)),
			[]string{"Normal FailedBack"}},
		{"somebody chose", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, roleBackup, rolePrimary, v1alpha1.SwitchSelected)),
			[]string{"Normal SwitchedOver"}},
		{"two encoders", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPublisherConflict, nil),
			[]string{"Warning PublisherConflict"}},
		{"they go on", status(v1alpha1.ReasonPublisherConflict, nil), status(v1alpha1.ReasonPublisherConflict, nil), nil},
		{"one gives up", status(v1alpha1.ReasonPublisherConflict, nil), status(v1alpha1.ReasonLive, nil), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, edge := range edges(test.before, test.after) {
				got = append(got, edge.Type+" "+edge.Reason)
				if edge.Action == "" || edge.Note == "" {
					t.Errorf("incomplete: %+v", edge)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
