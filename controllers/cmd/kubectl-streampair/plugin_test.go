package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestDescribe(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	before := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	pair := &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday", Generation: 2},
		Spec:       v1alpha1.StreamPairSpec{Failover: v1alpha1.Failover{Select: v1alpha1.SelectBackup}},
		Status: v1alpha1.StreamPairStatus{
			ObservedGeneration: 1,
			ActiveStream:       &v1alpha1.ActiveStream{Role: v1alpha1.RoleBackup, StreamID: "b", StartTime: before(90 * time.Second), Reason: "PrimaryInputLost"},
			LastSwitch:         &v1alpha1.Switch{From: v1alpha1.RolePrimary, To: v1alpha1.RoleBackup, Reason: "PrimaryInputLost", Time: before(90 * time.Second)},
			PlaybackURL:        "https://live.example.com/live/play.html?name=a",
			Ingest: []v1alpha1.IngestStatus{
				{Role: v1alpha1.RolePrimary, State: v1alpha1.IngestLost, Playing: v1alpha1.RoleBackup, PodName: "sunday-primary-x", NodeName: "n1"},
				{Role: v1alpha1.RoleBackup, State: v1alpha1.IngestLive, Playing: v1alpha1.RoleBackup, PodName: "sunday-backup-y"},
			},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionOnAir, Status: metav1.ConditionTrue, Reason: "OnAir", Message: "fine", LastTransitionTime: before(time.Hour)},
				{Type: v1alpha1.ConditionRedundant, Status: metav1.ConditionFalse, Reason: "PrimaryNotLive", Message: "the primary is not live", LastTransitionTime: before(time.Minute)},
				{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: "UpToDate", LastTransitionTime: before(time.Hour)},
			},
		},
	}
	want := `live/sunday
  on air   Backup (b) for 90s, PrimaryInputLost
  switched Primary to Backup, 90s ago, PrimaryInputLost
  pinned   Backup
  URL      https://live.example.com/live/play.html?name=a

  LEG       INPUT   PLAYS    POD                NODE
  Primary   Lost    Backup   sunday-primary-x   n1
  Backup    Live    Backup   sunday-backup-y    -

  Redundant is False: PrimaryNotLive, the primary is not live (for 60s)

  The operator has not seen the last change yet.
`
	if diff := cmp.Diff(want, describe(pair, now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	empty := describe(&v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "new"}}, now)
	if diff := cmp.Diff("live/new\n  on air   nothing\n", empty); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStatusOfSeveralPairsIsATable(t *testing.T) {
	var out strings.Builder
	p := &plugin{out: &out}
	pairs := []v1alpha1.StreamPair{
		{ObjectMeta: metav1.ObjectMeta{Name: "new"}},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "sunday"},
			Status: v1alpha1.StreamPairStatus{
				ActiveStream: &v1alpha1.ActiveStream{Role: v1alpha1.RoleBackup, StartTime: metav1.NewTime(time.Now().Add(-3 * time.Hour))},
				Ingest: []v1alpha1.IngestStatus{
					{Role: v1alpha1.RolePrimary, State: v1alpha1.IngestLost}, {Role: v1alpha1.RoleBackup, State: v1alpha1.IngestLive},
				},
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonApplyFailed}},
			},
		},
	}
	if err := p.statusOfAll(pairs); err != nil {
		t.Fatal(err)
	}
	want := `NAME     ON AIR    FOR   PRIMARY   BACKUP   READY     REASON
new      nothing   -     -         -        Unknown   NotSeen
sunday   Backup    3h    Lost      Live     False     ApplyFailed
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSwitchWarnsOfToolsThatSetTheFieldBack(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const (
		apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
		selects       = `{"f:spec":{"f:failover":{".":{},"f:select":{}}}}`
		others        = `{"f:spec":{"f:failover":{".":{},"f:mode":{}}}}`
	)
	got := gitOpsOwners([]metav1.ManagedFieldsEntry{
		entry("kustomize-controller", apply, selects),
		entry("argocd-controller", update, selects), entry("argocd-controller", apply, selects),
		entry("helm", update, selects), entry("other", apply, others),
		entry("kubectl", apply, selects), entry(fieldOwner, update, selects), entry("odd", apply, "x"),
	})
	if diff := cmp.Diff([]string{"kustomize-controller", "argocd-controller"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A script opens a browser with what stdout has.
func TestTheURLStandsAlone(t *testing.T) {
	var out, errOut strings.Builder
	p := &plugin{out: &out, errOut: &errOut}
	pair := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Name: "sunday"}}
	if err := p.url(t.Context(), pair); err == nil || out.Len() > 0 {
		t.Errorf("a URL before there is one: %v, %q", err, &out)
	}
	pair.Status.PlaybackURL = "http://sunday-play.live.svc/live/play.html?name=a"
	pair.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionExposed, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonClusterOnly}}
	if err := p.url(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pair.Status.PlaybackURL+"\n", out.String()); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if want := "# opens inside the cluster only; from here: kubectl streampair play sunday\n"; errOut.String() != want {
		t.Errorf("stderr %q, want %q", &errOut, want)
	}
}

func TestCommands(t *testing.T) {
	tests := []struct {
		args, pair, wrong string
	}{
		{args: "status", pair: ""},
		{args: "play sunday", pair: "sunday"},
		{args: "history", pair: ""},
		{args: "report sunday", pair: "sunday"},
		{args: "monitor"},
		{args: "monitor a b"},
		{args: "switch primary", pair: ""},
		{args: "switch BACKUP sunday", pair: "sunday"},
		{args: "switch", wrong: "primary, backup or auto"},
		{args: "switch sunday primary", wrong: `cannot switch to "sunday"`},
		{args: "url a b", wrong: "one StreamPair, not a b"},
		{args: "delete", wrong: `unknown command "delete"`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			c, err := parseCommand(strings.Fields(tt.args))
			switch {
			case tt.wrong != "":
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("got %v, want %q", err, tt.wrong)
				}
			case err != nil:
				t.Error(err)
			case c.run == nil && c.serve == nil || c.pair != tt.pair:
				t.Errorf("pair %q, want %q", c.pair, tt.pair)
			}
		})
	}
}

const answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n" +
	"a=candidate:1 1 udp 2130706431 10.0.0.7 8189 typ host\r\n" +
	"a=candidate:2 1 tcp 1671430143 10.0.0.7 8189 typ host tcptype passive\r\na=end-of-candidates\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\n"

const answerHere = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n" +
	"a=candidate:1 1 tcp 1671430143 127.0.0.1 4000 typ host tcptype passive\r\na=end-of-candidates\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\n"

func TestTheAnswerLeadsToThisMachine(t *testing.T) {
	trickle := strings.ReplaceAll(answer, "a=end-of-candidates\r\n", "")
	for name, tt := range map[string]struct{ sdp, want string }{
		"with candidates":         {answer, answerHere},
		"without their end":       {trickle, strings.ReplaceAll(answerHere, "a=end-of-candidates\r\n", "")},
		"one section":             {"v=0\nm=video 9 X 1\na=mid:0\n", "v=0\r\nm=video 9 X 1\r\na=mid:0\r\na=candidate:1 1 tcp 1671430143 127.0.0.1 4000 typ host tcptype passive\r\n"},
		"no media, nothing to do": {"v=0\r\n", "v=0\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(withCandidate([]byte(tt.sdp), 4000))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlayProxy(t *testing.T) {
	more := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/live/whep/primary":
			w.Header().Set("Content-Type", "application/sdp")
			w.Header().Set("Location", "/live/whep/primary/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, answer)
		case "/live/events/primary":
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-more
		default:
			_, _ = io.WriteString(w, r.Host+" "+r.URL.RawQuery)
		}
	}))
	defer server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(newPlayProxy(target, 4000))
	defer proxy.Close()
	defer close(more) // otherwise both would wait for the events to end
	get := func(method, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, proxy.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	created := get("POST", "/live/whep/primary")
	body, err := io.ReadAll(created.Body)
	if err != nil || created.StatusCode != http.StatusCreated || created.Header.Get("Location") != "/live/whep/primary/1" {
		t.Fatalf("%s, %v", created.Status, err)
	}
	if diff := cmp.Diff(answerHere, string(body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if line, err := bufio.NewReader(get("GET", "/live/events/primary").Body).ReadString('\n'); err != nil || line != "data: 1\n" {
		t.Errorf("event %q, %v", line, err)
	}
	body, err = io.ReadAll(get("GET", "/live/play.html?name=a").Body)
	if want := strings.TrimPrefix(proxy.URL, "http://") + " name=a"; err != nil || string(body) != want {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
}

func TestKeysForOBSAndFFmpeg(t *testing.T) {
	var b strings.Builder
	writeKeys(&b, v1alpha1.RolePrimary, "rtmp://a.example.com/live/cam1", "?token=s3cret")
	want := `Primary
  ffmpeg       rtmp://a.example.com/live/cam1?token=s3cret
  OBS server   rtmp://a.example.com/live
  OBS key      cam1?token=s3cret
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
