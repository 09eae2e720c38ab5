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
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/status"
	"github.com/streampair/streampair/hack/eventually"
)

// A statusClient is an API server for statuses: it stores each status as the next version.
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

// An eventSink keeps the notes of the Events that are written.
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

// The cache may be behind for a while, for example after an outage of the API server.
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
		Client: &statusClient{version: 7}, Recorder: broadcaster.NewRecorder(scheme, "test"), Metrics: metrics.New(prometheus.NewRegistry()), Now: time.Now,
	}
	cached := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "tv", Name: "sunday", UID: "one", ResourceVersion: "7"}}
	var want []string
	var m memory
	for i := range 5 {
		s := &v1alpha1.Switch{From: rolePrimary, To: roleBackup, Reason: v1alpha1.SwitchPrimaryDisconnected, Time: metav1.NewTime(sceneNow.Add(time.Duration(i) * time.Minute))}
		if i%2 == 1 {
			s.From, s.To, s.Reason = s.To, s.From, v1alpha1.SwitchBackupDisconnected
		}
		if err := r.report(t.Context(), cached, &m, &v1alpha1.StreamPairStatus{LastSwitch: s}); err != nil {
			t.Fatal(err)
		}
		for _, edge := range status.Edges(&v1alpha1.StreamPairStatus{}, &v1alpha1.StreamPairStatus{LastSwitch: s}) {
			want = append(want, edge.Note)
		}
		sink.waitFor(t, want)
	}
}

// waitFor waits until the Events have these notes. The recorder writes Events asynchronously.
func (s *eventSink) waitFor(t *testing.T, want []string) {
	t.Helper()
	eventually.Seen(t, eventually.Patience, "the Events (-want +got)", func() (diff string, done bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		diff = cmp.Diff(want, s.notes)
		return diff, diff == ""
	})
}
