package kubernetes

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	monitor = "---\napiVersion: v1\nkind: Service\nmetadata: {name: operator-metrics}\n"
	role    = "---\n# Source: role.yaml\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: operator}\nrules: []\n"
	crd     = "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: pairs\n  annotations:\n    helm.sh/resource-policy: keep\n"
)

func TestObjectsOf(t *testing.T) {
	objects, err := objectsOf("---\n# only a comment\n" + monitor + role + crd)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"apiextensions.k8s.io/CustomResourceDefinition//pairs",
		"rbac.authorization.k8s.io/ClusterRole//operator",
		"v1/Service//operator-metrics",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(objects))); diff != "" {
		t.Error(diff)
	}
	if _, err := objectsOf("---\nkind: [\n"); err == nil {
		t.Error("text that is no YAML gives no error")
	}
}

func TestRemoved(t *testing.T) {
	all, err := objectsOf(monitor + role + crd)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := objectsOf(role)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := objectsOf(removed(all, rest))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1/Service//operator-metrics"}, slices.Collect(maps.Keys(gone))); diff != "" {
		t.Errorf("what the later release lacks goes, but for what is to be kept (-want +got):\n%s", diff)
	}
	for name, after := range map[string]map[string]string{"the same again": all, "more than before": all} {
		if got := removed(rest, after); got != "" {
			t.Errorf("%s: removes %s", name, got)
		}
	}
	if got := removed(nil, all); got != "" {
		t.Errorf("the first installation removes %s", got)
	}
}
