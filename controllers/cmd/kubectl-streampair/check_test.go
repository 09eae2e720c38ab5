package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// condition returns a condition. text is its message.
func condition(kind string, status metav1.ConditionStatus, reason, text string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: text}
}

// rehearsed is a pair that is ready for an event: both legs live, on two nodes in two zones.
func rehearsed() *scene {
	yes := metav1.ConditionTrue
	return &scene{
		now: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC),
		pair: &v1alpha1.StreamPair{
			ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday", Generation: 2},
			Spec:       v1alpha1.StreamPairSpec{Publish: v1alpha1.Publish{Auth: v1alpha1.PublishToken}, Playback: v1alpha1.Playback{Auth: v1alpha1.PlaybackToken}},
			Status: v1alpha1.StreamPairStatus{
				ObservedGeneration: 2,
				Ingest: []v1alpha1.IngestStatus{
					{Role: v1alpha1.RolePrimary, State: v1alpha1.IngestLive, PodName: "p", NodeName: "n1", RTMP: "rtmp://a.example/live/primary", WHIP: "https://live.example/live/whip/primary"},
					{Role: v1alpha1.RoleBackup, State: v1alpha1.IngestLive, PodName: "b", NodeName: "n2", RTMP: "rtmp://b.example:31935/live/backup", WHIP: "https://live.example/live/whip/backup"},
				},
				PlaybackURL: "https://live.example/live/play.html?name=primary&backupStreamId=backup",
				Conditions: []metav1.Condition{
					condition(v1alpha1.ConditionReady, yes, v1alpha1.ReasonReady, "Publishers and viewers are accepted."),
					condition(v1alpha1.ConditionOnAir, yes, v1alpha1.ReasonOnAir, "Viewers get the primary."),
					condition(v1alpha1.ConditionPrimaryLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive),
					condition(v1alpha1.ConditionBackupLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive),
					condition(v1alpha1.ConditionPrimaryHealthy, yes, v1alpha1.ReasonHealthy, ""),
					condition(v1alpha1.ConditionBackupHealthy, yes, v1alpha1.ReasonHealthy, ""),
					condition(v1alpha1.ConditionInStep, yes, v1alpha1.ReasonInStep, ""),
					condition(v1alpha1.ConditionRedundant, yes, v1alpha1.ReasonRedundant, ""),
					condition(v1alpha1.ConditionConverged, yes, v1alpha1.ReasonConverged, ""),
					condition(v1alpha1.ConditionExposed, yes, v1alpha1.ReasonExposed, ""),
					condition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonUpToDate, ""),
				},
			},
		},
		zones:    map[string]string{"n1": "east", "n2": "west"},
		readings: map[v1alpha1.Role]reading{v1alpha1.RolePrimary: podMeasured(v1alpha1.RolePrimary), v1alpha1.RoleBackup: podMeasured(v1alpha1.RoleBackup)},
	}
}

func TestWhatCheckFinds(t *testing.T) {
	turned := func(kind string, status metav1.ConditionStatus, reason, text string) func(*scene) {
		return func(s *scene) { s.turn(kind, status, reason, text) }
	}
	no, yes, unknown := metav1.ConditionFalse, metav1.ConditionTrue, metav1.ConditionUnknown
	for name, tt := range map[string]struct {
		change func(*scene)
		want   string // severity, code and subject of each finding
	}{
		"a pair that is ready": {func(*scene) {}, ""},
		"paused":               {func(s *scene) { s.pair.Spec.Paused = true }, "Error Paused pair"},
		"a change that the operator has not seen": {func(s *scene) { s.pair.Generation = 3 }, "Warning NotObserved pair"},
		"not ready":             {turned(v1alpha1.ConditionReady, no, v1alpha1.ReasonPodsNotReady, ""), "Error PodsNotReady Ready"},
		"no encoder":            {turned(v1alpha1.ConditionBackupLive, no, v1alpha1.ReasonWaitingForPublisher, ""), "Error WaitingForPublisher BackupLive"},
		"a pod is not heard":    {turned(v1alpha1.ConditionBackupLive, unknown, v1alpha1.ReasonPodUnreachable, ""), "Warning PodUnreachable BackupLive"},
		"not all can be played": {turned(v1alpha1.ConditionPrimaryLive, yes, v1alpha1.ReasonDegraded, "x"), "Error Degraded PrimaryLive"},
		"a warning of a leg":    {turned(v1alpha1.ConditionPrimaryLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive+" Set -bf 0."), "Warning EncoderWarning PrimaryLive"},
		"a second encoder":      {turned(v1alpha1.ConditionPrimaryLive, yes, v1alpha1.ReasonPublisherConflict, ""), "Warning PublisherConflict PrimaryLive"},
		"told by PrimaryLive":   {turned(v1alpha1.ConditionRedundant, no, v1alpha1.ReasonPrimaryNotLive, ""), ""},
		"one node for both":     {turned(v1alpha1.ConditionRedundant, no, v1alpha1.ReasonSameNode, ""), "Warning SameNode Redundant"},
		"black":                 {turned(v1alpha1.ConditionBackupHealthy, no, v1alpha1.ReasonBlack, ""), "Warning Black BackupHealthy"},
		"5 s apart":             {turned(v1alpha1.ConditionInStep, no, v1alpha1.ReasonOutOfStep, ""), "Warning OutOfStep InStep"},
		"no figure of the step": {turned(v1alpha1.ConditionInStep, unknown, v1alpha1.ReasonStepUnknown, ""), "Info StepUnknown InStep"},
		"pods that disagree":    {turned(v1alpha1.ConditionConverged, no, v1alpha1.ReasonPodsDisagree, ""), "Warning PodsDisagree Converged"},
		"inside the cluster":    {turned(v1alpha1.ConditionExposed, yes, v1alpha1.ReasonClusterOnly, ""), "Info ClusterOnly Exposed"},
		"media in the cluster":  {turned(v1alpha1.ConditionExposed, yes, v1alpha1.ReasonMediaClusterOnly, ""), "Warning MediaClusterOnly Exposed"},
		"a rollout":             {turned(v1alpha1.ConditionProgressing, yes, v1alpha1.ReasonRollingOut, ""), "Warning RollingOut Progressing"},
		"everybody may publish": {func(s *scene) { s.pair.Spec.Publish.Auth = v1alpha1.PublishNone }, "Warning OpenPublish pair"},
		"everybody may watch":   {func(s *scene) { s.pair.Spec.Playback.Auth = v1alpha1.PlaybackNone }, "Info OpenPlayback pair"},
		"a pin":                 {func(s *scene) { s.pair.Spec.Failover.Select = v1alpha1.SelectBackup }, "Warning Pinned pair"},
		"one zone for both":     {func(s *scene) { s.zones["n2"] = "east" }, "Warning SameZone nodes"},
		"zones are not known":   {func(s *scene) { s.zones = map[string]string{"n1": "", "n2": ""} }, ""},
		"nodes may not be read": {func(s *scene) { s.zones, s.unread = nil, []string{"nodes"} }, "Info NotPermitted nodes"},
		"a pod that has crashed": {func(s *scene) {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: objects.ContainerName, RestartCount: 2}}
			s.pods = append(s.pods, pod)
		}, "Warning PodRestarted p"},
		"an address that does not answer": {func(s *scene) {
			s.addresses = []address{{subject: "playback", hostPort: "h:443", err: errors.New("refused")}}
		}, "Warning NotReachable playback"},
	} {
		t.Run(name, func(t *testing.T) {
			s := rehearsed()
			tt.change(s)
			var got []string
			for _, f := range s.judge() {
				got = append(got, string(f.Severity)+" "+f.Code+" "+f.Subject)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesToTry(t *testing.T) {
	type tried struct {
		Subject, HostPort string
		TLS               bool
	}
	var got []tried
	for _, a := range addressesOf(rehearsed().pair) {
		got = append(got, tried{a.subject, a.hostPort, a.tls})
	}
	want := []tried{
		{"primary rtmp", "a.example:1935", false}, {"primary whip", "live.example:443", true}, {"backup rtmp", "b.example:31935", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// check prints what it finds, for a user who may not read nodes. It tries addresses by itself.
func TestCheck(t *testing.T) {
	page := httptest.NewTLSServer(http.NotFoundHandler())
	defer page.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed := l.Addr().String()
	must(t, l.Close())

	pair := rehearsed().pair
	pair.Status.PlaybackURL = page.URL + "/live/play.html?name=primary"
	pair.Status.Ingest[0].RTMP, pair.Status.Ingest[0].WHIP = "rtmp://"+closed+"/live/primary", ""
	pair.Status.Ingest[1].RTMP, pair.Status.Ingest[1].WHIP = "", ""
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	reads := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, key.Name, nil)
		},
	}).Build()

	var out, errOut strings.Builder
	p := &plugin{client: reads, namespace: "live", out: &out, errOut: &errOut, output: preflight.JSON}
	if err := p.check(t.Context(), pair); err != nil {
		t.Errorf("warnings are no error: %v", err)
	}
	var report preflight.Report
	must(t, json.Unmarshal([]byte(out.String()), &report))
	var codes []string
	for _, f := range report.Findings {
		codes = append(codes, f.Code+" "+f.Subject)
	}
	// Go's test certificate is self-signed. There are no pods.
	want := []string{"NotReachable primary rtmp", "CertificateSelfSigned playback", "NotPermitted nodes", "NotMeasured primary", "NotMeasured backup"}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(errOut.String(), "streampair-mediaserver check '"+pair.Status.PlaybackURL+"'") {
		t.Errorf("said %q", &errOut)
	}
	p.output = preflight.Text
	pair.Status.Conditions[0] = condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonApplyFailed, "The API server refused.")
	if err := p.check(t.Context(), pair); !errors.Is(err, preflight.ErrFound) {
		t.Errorf("a pair that is not ready: %v", err)
	}
	p.output = "markdown"
	if err := p.check(t.Context(), pair); err == nil || errors.Is(err, preflight.ErrFound) {
		t.Errorf("an unknown form: %v", err)
	}
}
