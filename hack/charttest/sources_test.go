package charttest

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// TestCopiesAreCurrent: Helm reads only the chart's own folder, so what it shares with
// config is copied there.
func TestCopiesAreCurrent(t *testing.T) {
	for source, copied := range map[string]string{
		"../../config/crd/bases/media.streampair.dev_streampairs.yaml": "crd.yaml",
		"../../config/rbac/role.yaml":                                  "role.yaml",
		"../../config/prometheus/rules.yaml":                           "rules.yaml",
		chartFolder + "/values.yaml":                                   "values.yaml",
	} {
		want, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(chartFolder + "/files/" + copied)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("charts/streampair/files/%s is not %s: run hack/generate-chart.sh", copied, source)
		}
	}
}

func TestCRDIsKeptAndOtherwiseAsGenerated(t *testing.T) {
	crd := render(t, "").find("CustomResourceDefinition", "streampairs.media.streampair.dev").DeepCopy()
	if policy := crd.GetAnnotations()["helm.sh/resource-policy"]; policy != "keep" {
		t.Errorf("resource policy %q: removing the release would remove every pair", policy)
	}
	unstructured.RemoveNestedField(crd.Object, "metadata", "annotations", "helm.sh/resource-policy")
	generated := parse(t, "crd.yaml", readFile(t, chartFolder+"/files/crd.yaml"))
	if diff := cmp.Diff(generated[0].Object, crd.Object); diff != "" {
		t.Error(diff)
	}
}

// TestKustomizeIsTheChart: both ways to install make the same objects, but for the
// namespace, which Helm makes itself, and for Helm's own labels.
func TestKustomizeIsTheChart(t *testing.T) {
	tests := map[string]struct{ folder, values string }{
		"default":    {"default", ""},
		"prometheus": {"prometheus", `{metrics: {serviceMonitor: {enabled: true}, rules: {enabled: true}}}`},
		"network-policy": {"network-policy", `
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {streampair.dev/metrics: allowed}}}]`},
	}
	defaults := comparable(render(t, "").objects)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			chart := comparable(render(t, test.values).objects)
			built := comparable(kustomize(t, test.folder))
			delete(built, "Namespace  streampair-system")
			if test.values != "" { // beside config/default
				for key := range defaults {
					delete(chart, key)
				}
			}
			if diff := cmp.Diff(chart, built); diff != "" {
				t.Errorf("config/%s is not the chart's (-chart +config):\n%s", test.folder, diff)
			}
		})
	}
}

// comparable returns the objects by key without what only one of the two ways adds.
func comparable(objects []*unstructured.Unstructured) map[string]map[string]any {
	found := make(map[string]map[string]any)
	for _, object := range objects {
		object = object.DeepCopy()
		for _, label := range []string{"app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"} {
			unstructured.RemoveNestedField(object.Object, "metadata", "labels", label)
		}
		if object.GetKind() == "CustomResourceDefinition" {
			unstructured.RemoveNestedField(object.Object, "metadata", "annotations", "helm.sh/resource-policy")
			unstructured.RemoveNestedField(object.Object, "metadata", "labels")
			object.Object["spec"] = "generated, and compared by TestCopiesAreCurrent"
		}
		found[key(object)] = object.Object
	}
	return found
}

func kustomize(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/"+folder)
	if err != nil {
		t.Fatal(err)
	}
	content, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, folder, string(content))
}

// TestRoleIsMinimal guards what the documentation promises about the operator's reach.
func TestRoleIsMinimal(t *testing.T) {
	cluster := rules(t, render(t, "").find("ClusterRole", "streampair-operator"))
	namespaced := rules(t, render(t, "watchNamespaces: [live]").find("Role", "streampair-operator"))

	for _, rule := range slices.Concat(cluster, namespaced) {
		for _, part := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			if strings.Contains(part, "*") {
				t.Errorf("a wildcard in %v", rule)
			}
		}
		if len(rule.NonResourceURLs) > 0 {
			t.Errorf("URLs in %v", rule)
		}
	}
	granted := verbs(cluster)
	if diff := cmp.Diff([]string{"create", "get", "patch"}, granted["secrets"]); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	for _, resource := range []string{"tokenreviews", "subjectaccessreviews"} {
		if granted[resource] != nil {
			t.Errorf("%s is not for the controllers; it is in metrics-auth", resource)
		}
	}

	// In namespaced mode, the same without what belongs to the cluster.
	delete(granted, "nodes")
	if diff := cmp.Diff(granted, verbs(namespaced)); diff != "" {
		t.Errorf("the namespaced role is not the cluster's without nodes (-cluster +namespaced):\n%s", diff)
	}
	for _, object := range render(t, "watchNamespaces: [live]").objects {
		if strings.HasPrefix(object.GetKind(), "Cluster") || object.GetNamespace() == "" {
			t.Errorf("namespaced mode makes %s", key(object))
		}
	}
}

// TestAdoptionMayDelete: with rbac.adopt the operator may delete every kind of object that a pair has, and
// gets nothing else.
func TestAdoptionMayDelete(t *testing.T) {
	adopted := []string{
		"configmaps", "deployments.apps", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy", "secrets", "serviceaccounts", "services",
	}
	for mode, role := range map[string]struct{ values, kind string }{
		"cluster": {"", "ClusterRole"}, "namespaced": {"watchNamespaces: [live]\n", "Role"},
	} {
		want := verbs(rules(t, render(t, role.values).find(role.kind, "streampair-operator")))
		for _, resource := range adopted {
			if !slices.Contains(want[resource], "delete") {
				want[resource] = slices.Sorted(slices.Values(append(want[resource], "delete")))
			}
		}
		got := verbs(rules(t, render(t, role.values+"rbac: {adopt: true}").find(role.kind, "streampair-operator")))
		for _, verbs := range got {
			slices.Sort(verbs)
		}
		got["services"] = slices.Compact(got["services"])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: rights (-want +got):\n%s", mode, diff)
		}
	}
}

func rules(t *testing.T, object *unstructured.Unstructured) []rbacv1.PolicyRule {
	t.Helper()
	var role rbacv1.ClusterRole
	if object == nil {
		t.Fatal("no such role")
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

func verbs(rules []rbacv1.PolicyRule) map[string][]string {
	found := make(map[string][]string)
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				name := strings.TrimSuffix(resource+"."+group, ".")
				found[name] = append(found[name], rule.Verbs...)
				slices.Sort(found[name])
			}
		}
	}
	return found
}

// ofDependencies are values that a chart gets as a dependency of another.
var ofDependencies = []string{"global", "tags", "enabled"}

// TestSchemaKnowsEveryValue: with additionalProperties false everywhere, a value that the
// schema lacks could not be set.
func TestSchemaKnowsEveryValue(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(readFile(t, chartFolder+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	var check func(path string, schema, values map[string]any)
	check = func(path string, schema, values map[string]any) {
		properties, ok := schema["properties"].(map[string]any)
		if !ok {
			return // free-form, such as affinity
		}
		if schema["additionalProperties"] != false {
			t.Errorf("the schema lets anything into %q", path)
		}
		for name, value := range values {
			if properties[name] == nil {
				t.Errorf("the schema lacks %s.%s", path, name)
			}
			children, ok1 := value.(map[string]any)
			below, ok2 := properties[name].(map[string]any)
			if ok1 && ok2 {
				check(path+"."+name, below, children)
			}
		}
		for name := range properties {
			if _, ok := values[name]; !ok && !slices.Contains(ofDependencies, name) && !strings.HasPrefix(path, ".resources") {
				t.Errorf("values.yaml does not show %s.%s", path, name)
			}
		}
	}
	check("", schema, loadChart(t).Values)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
