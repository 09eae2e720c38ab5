package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestEventsAreOnEdgesOnly(t *testing.T) {
	at := func(d time.Duration, from, to v1alpha1.Role, reason string) *v1alpha1.Switch {
		return &v1alpha1.Switch{From: from, To: to, Reason: reason, Time: metav1.NewTime(sceneNow.Add(d))}
	}
	in := func(primary v1alpha1.IngestState, reason string, last *v1alpha1.Switch) *v1alpha1.StreamPairStatus {
		return &v1alpha1.StreamPairStatus{
			LastSwitch: last,
			Ingest:     []v1alpha1.IngestStatus{{Role: rolePrimary, State: primary}},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPrimaryLive, Reason: reason, Message: "The encoder went."}},
		}
	}
	status := func(reason string, last *v1alpha1.Switch) *v1alpha1.StreamPairStatus {
		return in(map[string]v1alpha1.IngestState{
			v1alpha1.ReasonLive: v1alpha1.IngestLive, v1alpha1.ReasonPublisherConflict: v1alpha1.IngestLive,
			v1alpha1.ReasonInputLost: v1alpha1.IngestLost, v1alpha1.ReasonPodNotReady: v1alpha1.IngestLost,
			v1alpha1.ReasonPodUnreachable: v1alpha1.IngestUnknown, v1alpha1.ReasonWaitingForPublisher: v1alpha1.IngestWaiting,
		}[reason], reason, last)
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
		{"its pod goes", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPodNotReady, nil), []string{"Warning InputLost"}},
		{"its new pod waits", status(v1alpha1.ReasonPodNotReady, nil), status(v1alpha1.ReasonInputLost, nil), nil},
		{"it is out of reach", status(v1alpha1.ReasonLive, nil), status(v1alpha1.ReasonPodUnreachable, nil), nil},
		{"it is in reach again", status(v1alpha1.ReasonPodUnreachable, nil), status(v1alpha1.ReasonLive, nil), nil},
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

// A statusClient is an API server as far as statuses go: it takes each as the next version.
type statusClient struct {
	client.Client
	version int
}

func (c *statusClient) Status() client.SubResourceWriter { return statusTaker{to: c} }

type statusTaker struct {
	client.SubResourceWriter
	to *statusClient
}

func (s statusTaker) Apply(_ context.Context, o runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	s.to.version++
	return json.Unmarshal(fmt.Appendf(nil, `{"apiVersion": %q, "kind": %q, "metadata": {"resourceVersion": "%d"}}`,
		v1alpha1.GroupVersion, v1alpha1.Kind, s.to.version), o)
}

// An eventSink keeps what is written of Events.
type eventSink struct {
	events.EventSink
	mu    sync.Mutex
	notes []string // guarded by mu
}

func (s *eventSink) Create(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, e.Note)
	return e, nil
}

func (s *eventSink) Patch(ctx context.Context, e *eventsv1.Event, _ []byte) (*eventsv1.Event, error) {
	return s.Create(ctx, e)
}

// The cache may be behind for a while, as after an outage of the API server.
func TestEachFailoverIsAnEventAlsoWhereTheCacheIsBehind(t *testing.T) {
	sink := &eventSink{}
	broadcaster := events.NewBroadcaster(sink)
	defer broadcaster.Shutdown()
	if err := broadcaster.StartRecordingToSinkWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &StreamPairReconciler{
		Client: &statusClient{version: 7}, Recorder: broadcaster.NewRecorder(scheme, "test"), Metrics: NewMetrics(prometheus.NewRegistry()), Now: time.Now,
	}
	cached := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "tv", Name: "sunday", UID: "one", ResourceVersion: "7"}}
	var want []string
	for i := range 5 {
		s := &v1alpha1.Switch{From: rolePrimary, To: roleBackup, Reason: v1alpha1.SwitchPrimaryDisconnected, Time: metav1.NewTime(sceneNow.Add(time.Duration(i) * time.Minute))}
		if i%2 == 1 {
			s.From, s.To, s.Reason = s.To, s.From, v1alpha1.SwitchBackupDisconnected
		}
		if err := r.report(t.Context(), cached, &v1alpha1.StreamPairStatus{LastSwitch: s}); err != nil {
			t.Fatal(err)
		}
		want = append(want, switchEdge(s).Note)
		eventually(t, "Event", func(context.Context) error {
			sink.mu.Lock()
			defer sink.mu.Unlock()
			if diff := cmp.Diff(want, sink.notes); diff != "" {
				return fmt.Errorf("the Events differ: %s", diff)
			}
			return nil
		})
	}
}
