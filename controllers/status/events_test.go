package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestEventsAreOnEdgesOnly(t *testing.T) {
	at := func(d time.Duration, from, to v1alpha1.Role, reason string) *v1alpha1.Switch {
		return &v1alpha1.Switch{From: from, To: to, Reason: reason, Time: metav1.NewTime(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC).Add(d))}
	}
	in := func(primary v1alpha1.IngestState, reason string, last *v1alpha1.Switch) *v1alpha1.StreamPairStatus {
		return &v1alpha1.StreamPairStatus{
			LastSwitch: last,
			Ingest:     []v1alpha1.IngestStatus{{Role: v1alpha1.RolePrimary, State: primary}},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPrimaryLive, Reason: reason, Message: "The encoder has disconnected. Check the encoder and its network."}},
		}
	}
	status := func(reason string, last *v1alpha1.Switch) *v1alpha1.StreamPairStatus {
		return in(map[string]v1alpha1.IngestState{
			v1alpha1.ReasonLive: v1alpha1.IngestLive, v1alpha1.ReasonPublisherConflict: v1alpha1.IngestLive,
			v1alpha1.ReasonInputLost: v1alpha1.IngestLost, v1alpha1.ReasonPodNotReady: v1alpha1.IngestLost,
			v1alpha1.ReasonPodUnreachable: v1alpha1.IngestUnknown, v1alpha1.ReasonWaitingForPublisher: v1alpha1.IngestWaiting,
		}[reason], reason, last)
	}
	lost := at(0, v1alpha1.RolePrimary, v1alpha1.RoleBackup, v1alpha1.SwitchPrimaryInputLost)
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
		{"its pod goes", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPodNotReady, nil), []string{"Warning InputLost"}},
		{"its new pod waits", status(v1alpha1.ReasonPodNotReady, nil), status(v1alpha1.ReasonInputLost, nil), nil},
		{"it is out of reach", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPodUnreachable, nil), nil},
		{"it is in reach again", status(v1alpha1.ReasonPodUnreachable, nil), status(v1alpha1.ReasonLive, nil), nil},
		{"its pod went while it was lost", status(v1alpha1.ReasonInputLost, lost), status(v1alpha1.ReasonPodNotReady, lost), nil},
		{"the backup is lost in its turn", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, v1alpha1.RoleBackup, v1alpha1.RolePrimary, v1alpha1.SwitchBackupDisconnected)),
			[]string{"Warning FailedOver"}},
		{"the pair goes back", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, v1alpha1.RoleBackup, v1alpha1.RolePrimary, v1alpha1.SwitchPrimaryRecovered)),
			[]string{"Normal FailedBack"}},
		{"somebody chose", status(v1alpha1.ReasonLive, lost),
			status(v1alpha1.ReasonLive, at(time.Minute, v1alpha1.RoleBackup, v1alpha1.RolePrimary, v1alpha1.SwitchSelected)),
			[]string{"Normal SwitchedOver"}},
		{"two encoders", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPublisherConflict, nil),
			[]string{"Warning PublisherConflict"}},
		{"they go on", status(v1alpha1.ReasonPublisherConflict, nil), status(v1alpha1.ReasonPublisherConflict, nil), nil},
		{"one gives up", status(v1alpha1.ReasonPublisherConflict, nil), status(v1alpha1.ReasonLive, nil), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, edge := range Edges(test.before, test.after) {
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
