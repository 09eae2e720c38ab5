package charttest

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// removable are values of which null takes something away on purpose.
var removable = []string{"resources", "podSecurityContext", "securityContext"}

// eachKey calls do for every key of the chart's values, also within other keys.
func eachKey(values map[string]any, path []string, do func(path []string)) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		at := append(slices.Clone(path), key)
		do(at)
		if within, ok := values[key].(map[string]any); ok && !slices.Contains(removable, key) {
			eachKey(within, at, do)
		}
	}
}

// TestAValueThatIsMissingIsItsDefault: `helm upgrade --reuse-values` has the values of the chart
// before, which lacks what is new, and a user may set a value to null.
func TestAValueThatIsMissingIsItsDefault(t *testing.T) {
	for name, base := range map[string]map[string]any{
		"defaults": {},
		"others": {
			"watchNamespaces": []any{"live"}, "replicas": 2.0,
			"metrics":       map[string]any{"serviceMonitor": map[string]any{"enabled": true}, "rules": map[string]any{"enabled": true}},
			"networkPolicy": map[string]any{"enabled": true},
		},
	} {
		given := func() map[string]any { return copied(base) }
		want, err := renderChart(t, loadChart(t), given(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		eachKey(loadChart(t).Values, nil, func(path []string) {
			if slices.Contains(removable, path[0]) || has(base, path) {
				return
			}
			reused := loadChart(t)
			set(reused.Values, path, nil, true)
			null := given()
			set(null, path, nil, false)
			for how, render := range map[string]func() (rendering, error){
				"reused values without": func() (rendering, error) { return renderChart(t, reused, given(), namespace) },
				"null for":              func() (rendering, error) { return renderChart(t, loadChart(t), null, namespace) },
			} {
				got, err := render()
				if err != nil {
					t.Errorf("%s: %s %v: %v", name, how, path, err)
					continue
				}
				if diff := cmp.Diff(want.objects, got.objects); diff != "" || want.notes != got.notes {
					t.Errorf("%s: %s %v (-want +got):\n%s", name, how, path, diff)
				}
			}
		})
	}
}

func TestNullTakesAwayWhatItMay(t *testing.T) {
	for _, key := range removable {
		r, err := renderChart(t, loadChart(t), map[string]any{key: nil}, namespace)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if r.find("Deployment", "streampair-operator") == nil {
			t.Errorf("%s: no Deployment", key)
		}
	}
}

func TestTheChartMayBeADependency(t *testing.T) {
	given := map[string]any{"enabled": true, "tags": map[string]any{"media": true}, "global": map[string]any{"imageRegistry": "example.com"}}
	if _, err := renderChart(t, loadChart(t), given, namespace); err != nil {
		t.Error(err)
	}
}

// copied returns a deep copy.
func copied(values map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range values {
		if within, ok := value.(map[string]any); ok {
			value = copied(within)
		}
		out[key] = value
	}
	return out
}

// has reports whether something stands at the path, or within it.
func has(values map[string]any, path []string) bool {
	value, ok := values[path[0]]
	if !ok || len(path) == 1 {
		return ok
	}
	within, isMap := value.(map[string]any)
	return !isMap || has(within, path[1:])
}

// set puts a value at the path, or removes what stands there.
func set(values map[string]any, path []string, value any, remove bool) {
	switch {
	case len(path) > 1:
		within, ok := values[path[0]].(map[string]any)
		if !ok {
			within = map[string]any{}
			values[path[0]] = within
		}
		set(within, path[1:], value, remove)
	case remove:
		delete(values, path[0])
	default:
		values[path[0]] = value
	}
}
