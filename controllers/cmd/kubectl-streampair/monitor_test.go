package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/api/v1alpha1"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// podTold returns the reading of a pod that plays a leg to so many viewers. The pod measures its own
// leg, and has the measures of the other one without a thumbnail.
func podTold(role v1alpha1.Role, active string, viewers int, age time.Duration) reading {
	milliseconds, made := int64(100), noon.Add(-time.Hour)
	status := control.Pair{Declared: true, Name: "sunday", Active: active, OnAir: true, Viewers: viewers, Select: "Auto"}
	measures := control.PairMeasures{Name: "sunday", Offset: &control.Offset{Milliseconds: 40}}
	for _, leg := range []string{"Primary", "Backup"} {
		status.Legs = append(status.Legs, control.Leg{Role: leg, Live: true, Rank: "Full", Local: leg == string(role)})
		one := control.LegMeasures{Role: leg, AgeMilliseconds: &milliseconds, Local: leg == string(role)}
		if one.Local {
			one.ThumbnailTime, one.ThumbnailAgeMilliseconds = &made, 700
		}
		measures.Legs = append(measures.Legs, one)
	}
	return reading{
		status:   &control.Status{Pairs: []control.Pair{{Name: "on demand"}, status}},
		measures: &control.Measures{Pairs: []control.PairMeasures{measures}}, at: noon.Add(-age),
	}
}

func sunday() *v1alpha1.StreamPair {
	return &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday"}}
}

// What the page shows of a pair comes from two pods, of which either may be away.
func TestWhatTheRoomShowsOfTwoPods(t *testing.T) {
	const primary, backup = v1alpha1.RolePrimary, v1alpha1.RoleBackup
	type shown struct {
		Active      string
		Viewers     int
		Age         int64
		Local       [2]bool
		Thumbnails  [2]int64
		MeasuresAge int64 // of the primary
	}
	away := reading{err: errors.New("no pod is ready")}
	for name, tt := range map[string]struct {
		pods map[v1alpha1.Role]reading
		want *shown
	}{
		"neither pod has told": {map[v1alpha1.Role]reading{primary: away}, nil},
		"both pods play the primary": {
			map[v1alpha1.Role]reading{primary: podTold(primary, "Primary", 3, 100*time.Millisecond), backup: podTold(backup, "Primary", 4, 0)},
			&shown{"Primary", 7, 100, [2]bool{true, true}, [2]int64{800, 700}, 200},
		},
		"both pods play the backup": {
			map[v1alpha1.Role]reading{primary: podTold(primary, "Backup", 3, 0), backup: podTold(backup, "Backup", 4, 100*time.Millisecond)},
			&shown{"Backup", 7, 100, [2]bool{true, true}, [2]int64{700, 800}, 100},
		},
		"the pod of the primary is away": {
			map[v1alpha1.Role]reading{primary: away, backup: podTold(backup, "Backup", 4, 0)},
			&shown{"Backup", 4, 0, [2]bool{false, true}, [2]int64{0, 700}, 100},
		},
		"the pod of the primary told long ago": {
			map[v1alpha1.Role]reading{primary: podTold(primary, "Primary", 3, time.Minute), backup: podTold(backup, "Backup", 4, 0)},
			&shown{"Backup", 4, 0, [2]bool{false, true}, [2]int64{60_700, 700}, 60_100},
		},
		"both pods told long ago": {
			map[v1alpha1.Role]reading{primary: podTold(primary, "Primary", 3, time.Minute), backup: podTold(backup, "Backup", 4, time.Hour)},
			&shown{"Primary", 0, 60_000, [2]bool{true, false}, [2]int64{60_700, 3_600_700}, 60_100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := sight{object: sunday(), pods: tt.pods}
			got := s.pair(noon)
			if tt.want == nil {
				if diff := cmp.Diff(controlroom.Pair{Name: "sunday", Warnings: got.Warnings}, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				return
			}
			saw := &shown{Active: got.Status.Active, Viewers: got.Status.Viewers, Age: got.AgeMilliseconds, MeasuresAge: *got.Measures.Legs[0].AgeMilliseconds}
			for i := range 2 {
				saw.Local[i] = got.Status.Legs[i].Local
				saw.Thumbnails[i] = got.Measures.Legs[i].ThumbnailAgeMilliseconds
			}
			if diff := cmp.Diff(tt.want, saw); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The token of an encoder is known to the pod at which the encoder publishes.
func TestTheRoomTellsWhenTheTokensOfEncodersExpire(t *testing.T) {
	soon, later := noon.Add(time.Hour), noon.Add(48*time.Hour)
	pods := map[v1alpha1.Role]reading{}
	for role, streams := range map[v1alpha1.Role][]control.Stream{
		v1alpha1.RolePrimary: {{App: "live", StreamID: "cam1", TokenExpires: &soon}, {App: "live", StreamID: "cam2", Relayed: true}},
		v1alpha1.RoleBackup: {
			{App: "live", StreamID: "cam1", Relayed: true}, {App: "live", StreamID: "cam2", TokenExpires: &later},
			{App: "live", StreamID: "other", TokenExpires: &soon}, {App: "other", StreamID: "cam1", TokenExpires: &soon},
		},
	} {
		got := podTold(role, "Primary", 1, 0)
		got.status.Streams = streams
		pair := got.pair()
		pair.App, pair.PrimaryID, pair.BackupID = "live", "cam1", "cam2"
		pods[role] = got
	}
	s := sight{object: sunday(), pods: pods}
	want := []controlroom.Credential{{Name: "token of the primary's encoder", NotAfter: soon}, {Name: "token of the backup's encoder", NotAfter: later}}
	if diff := cmp.Diff(want, s.pair(noon).Credentials); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// monitorOf returns a monitor of these pairs. patch may replace what the API server does.
func monitorOf(t *testing.T, patch func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error, names []string, pairs ...client.Object) *monitor {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, v1alpha1.AddToScheme(scheme))
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pairs...).WithInterceptorFuncs(interceptor.Funcs{Patch: patch}).Build()
	p := &plugin{client: api, namespace: "live"}
	return &monitor{plugin: p, names: names, pairs: make(map[string]*monitoredPair), now: func() time.Time { return noon }}
}

func TestATakeIsAPatchOfTheStreamPair(t *testing.T) {
	forbidden := func(_ context.Context, _ client.WithWatch, o client.Object, _ client.Patch, _ ...client.PatchOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "streampairs"}, o.GetName(), errors.New("no"))
	}
	for name, tt := range map[string]struct {
		patch func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error
		pair  string
		want  v1alpha1.Selection
		err   string // a part; empty: none
	}{
		"a pair that is shown":     {nil, "sunday", v1alpha1.SelectBackup, ""},
		"a pair that is not shown": {nil, "monday", "", "there is no such pair"},
		"who may not patch":        {forbidden, "sunday", "", "you may not patch StreamPairs in the namespace live"},
	} {
		t.Run(name, func(t *testing.T) {
			m := monitorOf(t, tt.patch, []string{"sunday"}, sunday(), &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "monday"}})
			must(t, m.look(t.Context()))
			err := m.Take(t.Context(), tt.pair, "Backup")
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			var got v1alpha1.StreamPair
			must(t, m.plugin.client.Get(t.Context(), client.ObjectKey{Namespace: "live", Name: tt.pair}, &got))
			if got.Spec.Failover.Select != tt.want {
				t.Errorf("select is %q, want %q", got.Spec.Failover.Select, tt.want)
			}
		})
	}
}

func TestAnOperatorThatSeesNoChangeIsNoticedAfterAWhile(t *testing.T) {
	changed := sunday()
	changed.Generation, changed.Status.ObservedGeneration = 2, 1
	m := monitorOf(t, nil, nil, changed)
	now := noon
	m.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		seen  int64
		want  int // warnings
	}{{0, 1, 0}, {9 * time.Second, 1, 0}, {time.Second, 1, 1}, {time.Second, 2, 0}, {0, 1, 0}, {lagLimit, 1, 1}} {
		now = now.Add(step.after)
		object := changed.DeepCopy()
		object.Status.ObservedGeneration = step.seen
		m.take(object)
		if got := m.State(t.Context()).Pairs[0].Warnings; len(got) != step.want {
			t.Errorf("%v later, with generation %d seen: %q, want %d warnings", step.after, step.seen, got, step.want)
		}
	}
}

func TestPairsComeAndGo(t *testing.T) {
	monday := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "monday"}}
	m := monitorOf(t, nil, nil, sunday())
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"one pair", func() error { return nil }, []string{"sunday"}},
		{"another one is made", func() error { return m.plugin.client.Create(t.Context(), monday) }, []string{"monday", "sunday"}},
		{"the first one is deleted", func() error { return m.plugin.client.Delete(t.Context(), sunday()) }, []string{"monday"}},
	} {
		must(t, step.do())
		must(t, m.look(t.Context()))
		var got []string
		for _, pair := range m.State(t.Context()).Pairs {
			got = append(got, pair.Name)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if err := monitorOf(t, nil, []string{"friday"}, sunday()).look(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("a name that nobody has: %v", err)
	}
}

func TestThePinIsThatOfTheStreamPair(t *testing.T) {
	object := sunday()
	object.Spec.Failover.Select = v1alpha1.SelectBackup
	s := sight{object: object, pods: map[v1alpha1.Role]reading{v1alpha1.RolePrimary: podTold(v1alpha1.RolePrimary, "Primary", 0, 0)}}
	if got := s.pair(noon).Status.Select; got != "Backup" {
		t.Errorf("the pods still have Auto, and the page shows %s", got)
	}
}

func TestWarningsBeforeATake(t *testing.T) {
	argo := sunday()
	argo.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "argocd-controller", Operation: metav1.ManagedFieldsOperationApply,
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:failover":{"f:select":{}}}}`),
	}}
	argo.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionRedundant, Status: metav1.ConditionFalse, Message: "the backup is not live"},
		{Type: v1alpha1.ConditionOnAir, Status: metav1.ConditionFalse, Message: "the page says so in large letters"},
	}
	for name, tt := range map[string]struct {
		sight sight
		want  []string
	}{
		"all is well":              {sight{object: sunday()}, nil},
		"the operator has a while": {sight{object: sunday(), lag: lagLimit - time.Second}, nil},
		"the operator does not see a change": {sight{object: sunday(), lag: 12 * time.Second},
			[]string{"The operator has not seen the last change for 12 s, so a Take may not reach the pods."}},
		"no operator":   {sight{object: sunday(), operator: "No operator."}, []string{"No operator."}},
		"no API server": {sight{object: sunday(), readErr: errors.New("refused")}, []string{"The StreamPair cannot be read, so a Take may fail: refused."}},
		"a GitOps tool owns the field, and a condition": {sight{object: argo}, []string{
			"argocd-controller owns spec.failover.select, and may set it back: let it leave that field out.",
			"Redundant is False: the backup is not live",
		}},
		"a pod is away": {
			sight{object: sunday(), pods: map[v1alpha1.Role]reading{v1alpha1.RoleBackup: {err: errors.New("no pod\nis ready")}}},
			[]string{"The pod of the backup leg does not answer: no pod: is ready."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.sight.warnings(noon)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOperatorsLease(t *testing.T) {
	key := client.ObjectKey{Namespace: "streampair-system", Name: "streampair-operator"}
	held := func(renewed time.Duration) *coordinationv1.Lease {
		holder, seconds, at := "operator-1", int32(30), metav1.NewMicroTime(noon.Add(-renewed))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}}
	}
	resource := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	for name, tt := range map[string]struct {
		lease *coordinationv1.Lease
		err   error
		want  string // a part; empty: no warning
	}{
		"it is renewed":            {held(2 * time.Second), nil, ""},
		"it has just ended":        {held(39 * time.Second), nil, ""},
		"it ended long ago":        {held(10 * time.Minute), nil, "has not renewed the Lease streampair-system/streampair-operator for 600 s"},
		"nobody holds it":          {&coordinationv1.Lease{}, nil, "No operator holds the Lease"},
		"it is missing":            {nil, apierrors.NewNotFound(resource, "streampair"), "is missing"},
		"it may not be read":       {nil, apierrors.NewForbidden(resource, "streampair", errors.New("no")), ""},
		"the API server is silent": {nil, errors.New("timeout"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := operatorWarning(key, tt.lease, tt.err, noon)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
