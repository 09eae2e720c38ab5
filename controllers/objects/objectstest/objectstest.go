// Package objectstest has pairs for tests, and decodes
// the objects that the operator makes of them.
package objectstest

import (
	"bytes"
	"embed"
	"encoding/json"
	"path"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

//go:embed pairs/*.yaml
var files embed.FS

// Settings returns the settings of an operator that allows everything.
func Settings() objects.Settings {
	return objects.Settings{
		DefaultImage:      "registry.example.com/streampair-mediaserver:1.0",
		Version:           "1.0",
		AllowPodImages:    true,
		OperatorNamespace: "streampair-system",
		OperatorLabels:    map[string]string{"app.kubernetes.io/name": "streampair-operator"},
	}
}

// Pairs returns the sample pairs of this package by
// name, without the defaults that an API server sets.
func Pairs(t testing.TB) map[string]*v1alpha1.StreamPair {
	t.Helper()
	entries, err := files.ReadDir("pairs")
	if err != nil || len(entries) < 7 {
		t.Fatalf("found %d pairs: %v", len(entries), err)
	}
	pairs := map[string]*v1alpha1.StreamPair{}
	for _, entry := range entries {
		text, err := files.ReadFile(path.Join("pairs", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pair := &v1alpha1.StreamPair{}
		if err := yaml.UnmarshalStrict(text, pair); err != nil {
			t.Fatalf("%s: %v", entry.Name(), err)
		}
		defaulted := pair.DeepCopy()
		defaulted.Default()
		if errs := defaulted.Validate(); len(errs) > 0 {
			t.Fatalf("%s: %v", entry.Name(), errs)
		}
		pairs[strings.TrimSuffix(entry.Name(), ".yaml")] = pair
	}
	return pairs
}

// YAML returns an object as the operator applies it.
func YAML(t testing.TB, object objects.Object) []byte {
	t.Helper()
	text, err := yaml.Marshal(object.Config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Typed returns the object in the API's own type. An unknown field is an error.
func Typed[T any](t testing.TB, object objects.Object) *T {
	t.Helper()
	text, err := json.Marshal(object.Config)
	if err != nil {
		t.Fatal(err)
	}
	into := new(T)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s %s: %v", object.Kind, object.Name, err)
	}
	return into
}

// Metadata returns the metadata of an object, without its other fields.
func Metadata(t testing.TB, object objects.Object) *metav1.PartialObjectMetadata {
	t.Helper()
	metadata := &metav1.PartialObjectMetadata{}
	if err := yaml.Unmarshal(YAML(t, object), metadata); err != nil {
		t.Fatal(err)
	}
	return metadata
}

// Find returns the object of that kind and name.
func Find(t testing.TB, all []objects.Object, kind, name string) objects.Object {
	t.Helper()
	for _, object := range all {
		if object.Kind == kind && object.Name == name {
			return object
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return objects.Object{}
}

// Deployments returns the Deployments of both legs, the primary's first.
func Deployments(t testing.TB, all []objects.Object) []*appsv1.Deployment {
	t.Helper()
	var found []*appsv1.Deployment
	for _, object := range all {
		if object.Kind == objects.KindDeployment {
			found = append(found, Typed[appsv1.Deployment](t, object))
		}
	}
	if len(found) != 2 {
		t.Fatalf("%d Deployments", len(found))
	}
	return found
}
