package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

// measuring serves a pod that tells a reading. asked is called before each answer.
func measuring(t *testing.T, got reading, asked func(*http.Request)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked(r)
		switch r.URL.Path {
		case "/v1/status":
			_ = json.NewEncoder(w).Encode(got.status)
		case "/v1/measures":
			_ = json.NewEncoder(w).Encode(got.measures)
		default:
			t.Errorf("check asks the pod for %s", r.URL.Path)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// checkOf returns a plugin that checks, by JSON, the pair of rehearsed, which has no addresses.
func checkOf(t *testing.T, api *fakeAPI) (p *plugin, pair *v1alpha1.StreamPair, out *strings.Builder) {
	t.Helper()
	pair = rehearsed().pair
	pair.Status.PlaybackURL = ""
	for i := range pair.Status.Ingest {
		pair.Status.Ingest[i].RTMP, pair.Status.Ingest[i].WHIP = "", ""
	}
	cluster := []client.Object{mediaPod(v1alpha1.RolePrimary), mediaPod(v1alpha1.RoleBackup)}
	for name, zone := range map[string]string{"n1": "east", "n2": "west"} {
		cluster = append(cluster, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}})
	}
	reads := fake.NewClientBuilder().WithObjects(cluster...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, is := object.(*corev1.Secret); is {
				t.Errorf("check reads the Secret %s", key)
			}
			return c.Get(ctx, key, object, opts...)
		},
	}).Build()
	out = &strings.Builder{}
	return &plugin{client: reads, config: api.start(), namespace: "live", out: out, errOut: t.Output(), output: preflight.JSON}, pair, out
}

// seen is what a report has: the summaries of the subjects, and severity, code and subject of each finding.
type seen struct {
	Subjects map[string]string
	Findings []string
}

func parseReport(t *testing.T, out string) seen {
	t.Helper()
	var r preflight.Report
	must(t, json.Unmarshal([]byte(out), &r))
	got := seen{Subjects: make(map[string]string)}
	for _, s := range r.Subjects {
		got.Subjects[s.Name] = s.Summary
	}
	for _, f := range r.Findings {
		got.Findings = append(got.Findings, string(f.Severity)+" "+f.Code+" "+f.Subject)
	}
	return got
}

const (
	primaryPlace = "input Live, pod p, node n1, zone east"
	backupPlace  = "input Live, pod b, node n2, zone west"
	sent         = "; H.264 1920x1080, 30 pictures and 4.2 Mbit/s a second, a key frame each 2.0 s; AAC, 48 kHz, stereo, -23 LUFS"
)

// Each pod answers once the other one has been asked, so both are read at the same time.
func TestCheckReadsThePodsOfBothLegs(t *testing.T) {
	asked, answered := map[string]chan struct{}{}, map[string]func(){}
	for _, role := range objects.Roles() {
		c := make(chan struct{})
		asked[mediaPod(role).Name], answered[mediaPod(role).Name] = c, sync.OnceFunc(func() { close(c) })
	}
	api := &fakeAPI{t: t, pods: make(map[string]string)}
	for _, role := range objects.Roles() {
		own, other := mediaPod(role).Name, mediaPod(objects.OtherRole(role)).Name
		got := podMeasured(role)
		if role == v1alpha1.RoleBackup {
			got.legMeasures(role).Rates.Jumps = 1
		}
		api.pods[own] = measuring(t, got, func(r *http.Request) {
			answered[own]()
			select {
			case <-asked[other]:
			case <-r.Context().Done():
			}
		})
	}
	p, pair, out := checkOf(t, api)
	p.readLimit = eventually.Patience
	if err := p.check(t.Context(), pair); err != nil {
		t.Errorf("a warning is no error: %v", err)
	}
	want := seen{
		map[string]string{"primary": primaryPlace + sent, "backup": backupPlace + sent, "both": "the backup is 0.0 s later, drift 0.0 s an hour"},
		[]string{"Warning ClockJumps backup"},
	}
	if diff := cmp.Diff(want, parseReport(t, out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if len(api.ports) == 0 {
		t.Error("no port was asked for")
	}
	for _, port := range api.ports {
		if port != "9094" {
			t.Errorf("asked for the port %s, want 9094", port)
		}
	}
}

// forbid answers as an API server without the right to pods/portforward.
func forbid(w http.ResponseWriter, pod string) {
	err := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod, errors.New(`User "jo" cannot create resource "pods/portforward"`))
	err.ErrStatus.APIVersion, err.ErrStatus.Kind = "v1", "Status"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(err.ErrStatus)
}

// A leg that cannot be read is for information. All else is checked, and the exit code is as without.
func TestCheckWithoutTheRightToReadAPod(t *testing.T) {
	primary, backup := mediaPod(v1alpha1.RolePrimary).Name, mediaPod(v1alpha1.RoleBackup).Name
	api := &fakeAPI{t: t, pods: map[string]string{primary: measuring(t, podMeasured(v1alpha1.RolePrimary), func(*http.Request) {})}}
	api.refuses = func(w http.ResponseWriter, _ *http.Request, pod string) bool {
		if pod == backup {
			forbid(w, pod)
		}
		return pod == backup
	}
	p, pair, out := checkOf(t, api)
	p.readLimit = eventually.Patience
	pair.Spec.Failover.Select = v1alpha1.SelectBackup
	if err := p.check(t.Context(), pair); err != nil {
		t.Errorf("a leg that is not read is no error: %v", err)
	}
	want := seen{
		map[string]string{"primary": primaryPlace + sent, "backup": backupPlace, "both": "the backup is 0.0 s later, drift 0.0 s an hour"},
		[]string{"Warning Pinned pair", "Info NotMeasured backup"},
	}
	if diff := cmp.Diff(want, parseReport(t, out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(out.String(), "you may not create pods/portforward in the namespace live") || !strings.Contains(out.String(), askForRole) {
		t.Errorf("the right is not named:\n%s", out)
	}
}

// An API server that never answers holds the report for no longer than the limit.
func TestCheckDoesNotWaitForAnAPIServerThatHangs(t *testing.T) {
	api := &fakeAPI{t: t, hangs: make(chan struct{})}
	defer close(api.hangs)
	p, pair, out := checkOf(t, api)
	p.readLimit = 50 * time.Millisecond
	began := time.Now()
	if err := p.check(t.Context(), pair); err != nil {
		t.Errorf("a leg that is not read is no error: %v", err)
	}
	if took := time.Since(began); took >= apiTimeout {
		t.Errorf("the report took %v", took)
	}
	want := seen{map[string]string{"primary": primaryPlace, "backup": backupPlace}, []string{"Info NotMeasured primary", "Info NotMeasured backup"}}
	if diff := cmp.Diff(want, parseReport(t, out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := strings.Count(out.String(), errNoAnswer.Error()); n != 2 {
		t.Errorf("the cause is told %d times, want 2:\n%s", n, out)
	}
}

// A pod that never answers costs the measures of its own leg alone.
func TestCheckDoesNotWaitForAPodThatHangs(t *testing.T) {
	hangs := make(chan struct{})
	defer close(hangs)
	api := &fakeAPI{t: t, pods: map[string]string{
		mediaPod(v1alpha1.RolePrimary).Name: measuring(t, podMeasured(v1alpha1.RolePrimary), func(*http.Request) {}),
		mediaPod(v1alpha1.RoleBackup).Name:  measuring(t, podMeasured(v1alpha1.RoleBackup), func(*http.Request) { <-hangs }),
	}}
	p, pair, _ := checkOf(t, api)
	limit := 50 * time.Millisecond
	eventually.Seen(t, eventually.Patience, "the reading of the primary", func() (any, bool) {
		readings := p.readLegs(t.Context(), pair, limit)
		limit = min(2*limit, readTimeout-time.Second) // a machine may be busy
		if err := readings[v1alpha1.RoleBackup].err; !errors.Is(err, errNoAnswer) {
			t.Errorf("the backup: %v, want %v", err, errNoAnswer)
		}
		got := readings[v1alpha1.RolePrimary]
		return got.err, got.err == nil && got.pair().Name == "sunday"
	})
}

// A user may have the right to forward by WebSocket, by SPDY or by neither, and something on the way may
// let only one of the two through.
func TestATunnelThatIsForbiddenSaysSo(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ string) { http.Error(w, "not here", http.StatusBadGateway) }
	for name, tt := range map[string]struct {
		byWebSocket, bySPDY func(http.ResponseWriter, string) // nil: the connection is made
		want                string                            // in the error; empty: the pod is read
		isForbidden         bool
	}{
		"both are forbidden":                     {forbid, forbid, "cannot create resource", true},
		"WebSocket is blocked, SPDY forbidden":   {refuse, forbid, "cannot create resource", true},
		"WebSocket is forbidden, SPDY blocked":   {forbid, refuse, "not here", true},
		"WebSocket is forbidden, SPDY permitted": {forbid, nil, "", false},
		"both are blocked":                       {refuse, refuse, "not here", false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := mediaPod(v1alpha1.RolePrimary).Name
			api := &fakeAPI{t: t, pods: map[string]string{pod: measuring(t, reading{status: &control.Status{}, measures: &control.Measures{}}, func(*http.Request) {})}}
			api.refuses = func(w http.ResponseWriter, r *http.Request, pod string) bool {
				answer := tt.bySPDY
				if r.Method == http.MethodGet {
					answer = tt.byWebSocket
				}
				if answer != nil {
					answer(w, pod)
				}
				return answer != nil
			}
			p, pair, _ := checkOf(t, api)
			err := p.readLegs(t.Context(), pair, eventually.Patience)[v1alpha1.RolePrimary].err
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || errors.Is(err, errForbidden) != tt.isForbidden {
				t.Errorf("got %v, want %q, forbidden %v", err, tt.want, tt.isForbidden)
			}
		})
	}
}
