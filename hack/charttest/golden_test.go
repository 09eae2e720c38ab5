package charttest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDefaults compares all that the chart makes with its default values. The CRD and the
// operator's rules are left out: they are generated and have tests of their own.
func TestDefaults(t *testing.T) {
	r := render(t, "")
	compareGolden(t, "defaults", toYAML(t, curtail(r.objects)...)+toYAML(t, r.hooks...)+"--- NOTES\n"+r.notes)
}

// TestValues compares, for each file of testdata/values, what its values change: the
// objects that are new or different, and the names of those that are gone.
func TestValues(t *testing.T) {
	defaults := render(t, "")
	before := make(map[string]*unstructured.Unstructured)
	for _, object := range append(curtail(defaults.objects), defaults.hooks...) {
		before[key(object)] = object
	}
	for name, values := range valueSets(t) {
		t.Run(name, func(t *testing.T) {
			r := render(t, values)
			var b strings.Builder
			seen := make(map[string]bool)
			for _, object := range append(curtail(r.objects), r.hooks...) {
				seen[key(object)] = true
				if old, ok := before[key(object)]; !ok || !cmp.Equal(old.Object, object.Object) {
					b.WriteString(toYAML(t, object))
				}
			}
			for _, object := range append(curtail(defaults.objects), defaults.hooks...) {
				if !seen[key(object)] {
					fmt.Fprintf(&b, "# gone: %s\n", key(object))
				}
			}
			if r.notes != defaults.notes {
				fmt.Fprintf(&b, "--- NOTES\n%s", r.notes)
			}
			if b.Len() == 0 {
				t.Error("these values change nothing")
			}
			compareGolden(t, name, b.String())
		})
	}
}

// TestEveryValueHasATest: a value that no file of testdata/values sets could be without
// any effect.
func TestEveryValueHasATest(t *testing.T) {
	set := make(map[string]bool)
	for _, values := range valueSets(t) {
		var given map[string]any
		if err := yaml.Unmarshal([]byte(values), &given); err != nil {
			t.Fatal(err)
		}
		for path := range leaves("", given) {
			// A value in a map that is empty by default covers the map.
			for ; path != ""; path = parent(path) {
				set[path] = true
			}
		}
	}
	for path := range leaves("", loadChart(t).Values) {
		if !set[path] {
			t.Errorf("no file of testdata/values sets %s", path)
		}
	}
}

// leaves returns the paths of all values that are not maps, or empty maps.
func leaves(prefix string, value any) map[string]bool {
	found := make(map[string]bool)
	children, ok := value.(map[string]any)
	if !ok || len(children) == 0 {
		found[prefix] = true
		return found
	}
	for name, child := range children {
		for path := range leaves(strings.TrimPrefix(prefix+"."+name, "."), child) {
			found[path] = true
		}
	}
	return found
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i]
	}
	return ""
}

// curtail returns the objects with what is generated cut out.
func curtail(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var kept []*unstructured.Unstructured
	for _, object := range objects {
		object = object.DeepCopy()
		switch {
		case object.GetKind() == "CustomResourceDefinition":
			object.Object["spec"] = "as generated"
		case strings.HasSuffix(object.GetKind(), "Role") && strings.Contains(fmt.Sprint(object.Object["rules"]), "streampairs/finalizers"):
			object.Object["rules"] = "as generated"
		case object.GetKind() == "PrometheusRule":
			object.Object["spec"] = "as in files/rules.yaml"
		}
		kept = append(kept, object)
	}
	return kept
}

// valueSets returns the values files of the golden tests by name.
func valueSets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values in testdata/values: %v", err)
	}
	sets := make(map[string]string)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sets[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(content)
	}
	return sets
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".yaml")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the chart renders something else (-want +got); if that is right: (cd hack/charttest && go test -update .)\n%s", diff)
	}
}
