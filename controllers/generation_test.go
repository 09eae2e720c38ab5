package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/pods"
)

func TestAPushNamesWhatItReplaces(t *testing.T) {
	for _, test := range []struct {
		name       string
		uid        string
		generation int64
		want       pods.ManifestVersion
	}{
		{"the pod has what the spec says", "pair-uid", 2, pods.ManifestVersion{}},
		{"an earlier generation", "pair-uid", 1, pods.ManifestVersion{}},
		{"a later generation: etcd was restored", "pair-uid", 9, pods.ManifestVersion{UID: "pair-uid", Generation: 9}},
		{"another pair of that name, of a later generation", "before", 9, pods.ManifestVersion{UID: "before", Generation: 9}},
		{"another pair of that name, of an earlier generation", "before", 1, pods.ManifestVersion{UID: "before", Generation: 1}},
		{"another pair of that name, of the same generation", "before", 2, pods.ManifestVersion{UID: "before", Generation: 2}},
		{"a manifest of an operator before, of a later generation", "", 9, pods.ManifestVersion{UID: "", Generation: 9}},
		{"a manifest of an operator before, of an earlier generation", "", 1, pods.ManifestVersion{}},
		{"no manifest of an operator", "", 0, pods.ManifestVersion{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			status := s.At(rolePrimary).State.Status
			status.ConfigUID, status.ConfigGeneration = test.uid, test.generation
			if got := s.decide().Pushes[0].Replaces; got != test.want {
				t.Errorf("replaces %v, want %v", got, test.want)
			}
		})
	}
}

// A latestReader is an API server with one pair.
type latestReader struct {
	client.Reader
	pair *v1alpha1.StreamPair // nil: none
	err  error
}

func (r latestReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if r.err != nil {
		return r.err
	}
	if r.pair == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "streampairs"}, key.Name)
	}
	r.pair.DeepCopyInto(into.(*v1alpha1.StreamPair))
	return nil
}

// A cache may lag behind the pods, because the previous operator had a newer spec.
func TestAnOlderSpecOfACacheThatLagsIsNotPushed(t *testing.T) {
	later := func(s *scene) *v1alpha1.StreamPair {
		pair := s.Pair.DeepCopy()
		pair.Generation = 9
		return pair
	}
	for _, test := range []struct {
		name   string
		latest func(*scene) latestReader
		pushed bool
		err    bool
	}{
		{"the API server says the same", func(s *scene) latestReader { return latestReader{pair: s.Pair} }, true, false},
		{"the API server has the later one", func(s *scene) latestReader { return latestReader{pair: later(s)} }, false, false},
		{"the pair is gone", func(*scene) latestReader { return latestReader{} }, false, false},
		{"the API server does not say", func(*scene) latestReader { return latestReader{err: apierrors.NewInternalError(context.Canceled)} }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.At(roleBackup).State.Status.ConfigGeneration = 9
			r := &StreamPairReconciler{Reader: test.latest(s)}
			pushes := r.confirmed(t.Context(), s.Pair, s.decide().Pushes, s.outcome)
			primary, backup := pushes[0], pushes[1]
			if primary.Manifest == nil {
				t.Error("the pod that replaces nothing is not told")
			}
			if pushed := backup.Manifest != nil; pushed != test.pushed || (s.outcome.Err != nil) != test.err {
				t.Errorf("pushed %v, error %v", pushed, s.outcome.Err)
			}
			if !test.pushed && s.outcome.Recheck == 0 {
				t.Error("it is not looked at again")
			}
		})
	}
}

// refusingPods are pods that accept no manifest.
type refusingPods struct {
	noPods
	refusal error
}

func (p refusingPods) PutConfig(context.Context, pods.Key, []byte, ...pods.ConfigOption) error {
	return p.refusal
}

// An older media server does not know the header, and keeps the higher generation.
func TestAPodOfAVersionBeforeThatRefusesIsTold(t *testing.T) {
	refusal := errors.New("PUT /v1/config: 409 Conflict: the manifest is of an older generation than the one in force: it has 2, and the one in force 9")
	s := newScene(t, nil)
	s.At(rolePrimary).State.Status.ConfigGeneration = 9
	r := &StreamPairReconciler{Reader: latestReader{pair: s.Pair}, Pods: refusingPods{refusal: refusal}, Now: func() time.Time { return s.Now }}
	r.push(t.Context(), r.confirmed(t.Context(), s.Pair, s.decide().Pushes[:1], s.outcome), s.outcome)
	status, _ := s.report()
	i := slices.IndexFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionConverged })
	c := status.Conditions[i]
	if c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonDirectivePending {
		t.Errorf("Converged is %s, %s", c.Status, c.Reason)
	}
	for _, want := range []string{"409 Conflict: the manifest is of an older generation", "it has 2, and the one in force 9", "Delete pod sunday-primary-1"} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("Converged does not say %q: %s", want, c.Message)
		}
	}
}

func TestEveryRefusalShowsInConverged(t *testing.T) {
	s := newScene(t, nil)
	s.outcome.PushErrors[observed.PodKey(s.Pair, roleBackup, s.At(roleBackup).Pod)] = "PUT /v1/peers: 422 Unprocessable Entity: clear[0]: wrong"
	status, _ := s.report()
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionConverged && (c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "clear[0]: wrong")) {
			t.Errorf("Converged is %s: %s", c.Status, c.Message)
		}
	}
}

func TestAManifestTellsWhoseItIs(t *testing.T) {
	s := newScene(t, nil)
	s.Pair.CreationTimestamp = metav1.NewTime(sceneNow)
	manifest := string(objects.Manifest(s.Pair))
	for _, want := range []string{"uid: pair-uid", `creationTimestamp: "2026-11-22T20:00:00Z"`, `media.streampair.dev/config-generation: "2"`} {
		if !strings.Contains(manifest, want) {
			t.Errorf("the manifest lacks %s:\n%s", want, manifest)
		}
	}
}
