package charttest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	chartFolder = "../../charts/streampair"
	release     = "streampair"
	namespace   = "streampair-system"
)

// A rendering is what Helm would send to a cluster, and say to the user.
type rendering struct {
	objects []*unstructured.Unstructured // without hooks
	hooks   []*unstructured.Unstructured // such as the pod of helm test
	notes   string
}

// find returns the object, or nil.
func (r rendering) find(kind, name string) *unstructured.Unstructured {
	for _, object := range slices.Concat(r.objects, r.hooks) {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart as `helm install` does, with its schema applied. The values are
// those of a --values file.
func render(t *testing.T, values string) rendering {
	t.Helper()
	r, err := tryRender(t, values, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRender(t *testing.T, values, namespace string) (rendering, error) {
	t.Helper()
	var given map[string]any
	if err := sigsyaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatalf("the test's values: %v", err)
	}
	return renderChart(t, loadChart(t), given, namespace)
}

// renderChart renders a chart with the values that a user gives.
func renderChart(t *testing.T, c *chart.Chart, given map[string]any, namespace string) (rendering, error) {
	t.Helper()
	capabilities := common.DefaultCapabilities.Copy()
	options := common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, given, options, capabilities)
	if err != nil {
		return rendering{}, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return rendering{}, err
	}
	var r rendering
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Base(name) == "NOTES.txt":
			r.notes = files[name]
		case strings.HasPrefix(path.Base(name), "_"):
		default:
			for _, object := range parse(t, name, files[name]) {
				if _, hook := object.GetAnnotations()["helm.sh/hook"]; hook {
					r.hooks = append(r.hooks, object)
				} else {
					r.objects = append(r.objects, object)
				}
			}
		}
	}
	return r, nil
}

// parse returns the objects of a YAML file. It is strict: a key that stands twice, which
// would silently lose one of its values, is an error.
func parse(t *testing.T, name, content string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	documents := yaml.NewDocumentDecoder(readCloser{strings.NewReader(content)})
	defer documents.Close()
	buffer := make([]byte, len(content)+1)
	for {
		n, err := documents.Read(buffer)
		if n == 0 && err != nil {
			return objects
		}
		object := &unstructured.Unstructured{}
		if err := sigsyaml.UnmarshalStrict(buffer[:n], &object.Object); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, buffer[:n])
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() == "" || object.GetName() == "" {
			t.Fatalf("%s: an object without kind or name:\n%s", name, buffer[:n])
		}
		objects = append(objects, object)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func toYAML(t *testing.T, objects ...*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, object := range objects {
		content, err := sigsyaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s", content)
	}
	return b.String()
}

func key(object *unstructured.Unstructured) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", object.GetKind(), object.GetNamespace(), object.GetName()))
}

// at returns a field of an object. It fails the test if the field is not there.
func at[T any](t *testing.T, object *unstructured.Unstructured, fields ...string) T {
	t.Helper()
	if object == nil {
		t.Fatalf("no such object, so no %s", strings.Join(fields, "."))
	}
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, fields...)
	typed, ok := value.(T)
	if err != nil || !found || !ok {
		t.Fatalf("%s has no %s of type %T (found %v, %v)", key(object), strings.Join(fields, "."), typed, value, err)
	}
	return typed
}
