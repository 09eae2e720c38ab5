package integration_test

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

// The definition may be older than the operator: in namespaced mode, without crds.install, or
// after a rollback. The status is then written without the fields that the definition lacks.
func TestADefinitionOlderThanTheOperatorCostsOnlyItsFields(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, kubetest.StartOwn(t))
	w.runPods()
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	w.must(w.admin.Get(t.Context(), client.ObjectKey{Name: "streampairs.media.streampair.dev"}, definition))
	versions, _, err := unstructured.NestedSlice(definition.Object, "spec", "versions")
	w.must(err)
	status := []string{"schema", "openAPIV3Schema", "properties", "status", "properties"}
	version := versions[0].(map[string]any)
	fields, _, err := unstructured.NestedMap(version, status...)
	w.must(err)
	delete(fields, "playbackURL")
	ofLegs, _, err := unstructured.NestedMap(fields, "ingest", "items", "properties")
	w.must(err)
	delete(ofLegs, "podName")
	w.must(unstructured.SetNestedMap(fields, ofLegs, "ingest", "items", "properties"))
	w.must(unstructured.SetNestedMap(version, fields, status...))
	w.must(unstructured.SetNestedSlice(definition.Object, versions, "spec", "versions"))
	w.must(w.admin.Update(t.Context(), definition))

	w.create("sunday", nil)
	pair := w.waitFor("sunday", "Ready=True/Ready")
	if pair.Status.PlaybackURL != "" || len(pair.Status.Ingest) != 2 {
		t.Errorf("the status is %+v", pair.Status)
	}
	eventually.True(w.t, "the Event", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventDefinitionOutdated) })
	for _, field := range []string{".status.playbackURL", ".status.ingest[].podName"} {
		w.metricIs("streampair_status_field_missing", map[string]string{"field": field}, 1)
	}
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Paused = true })
	w.waitFor("sunday", "Ready=True/Paused")
}

// kstatus, with which Flux and Helm wait, takes an object without a status for finished.
func TestAPairThatNobodyHasLookedAtSaysSo(t *testing.T) {
	w := newWorld(t)
	if got := w.create("sunday", nil).Status.ObservedGeneration; got != -1 {
		t.Errorf("status.observedGeneration is %d when the pair is made, want -1", got)
	}
	if pair := w.waitFor("sunday", "OnAir=False/NoLiveStream"); pair.Status.ObservedGeneration != pair.Generation {
		t.Errorf("status.observedGeneration is %d, want %d", pair.Status.ObservedGeneration, pair.Generation)
	}
}
