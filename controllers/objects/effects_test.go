package objects_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

// specField is one field of the spec: its path below spec, and how to reach it.
type specField struct {
	path  string
	index []int // for reflect, through pointers and the first element of lists
}

// specFields returns all fields of the spec that have no
// fields below them. A type of Kubernetes counts as one field.
func specFields(of reflect.Type, path string, index []int) []specField {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.PkgPath() != reflect.TypeFor[v1alpha1.StreamPair]().PkgPath() ||
		of == reflect.TypeFor[v1alpha1.SecretReference]() {
		return []specField{{path, index}}
	}
	var fields []specField
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		fields = append(fields, specFields(of.Field(i).Type, strings.TrimPrefix(path+"."+name, "."), append(slices.Clone(index), i))...)
	}
	return fields
}

// effectOf returns the effect that the API documents for a field.
func effectOf(path string) v1alpha1.Effect {
	effects := v1alpha1.Effects()
	for {
		if effect, ok := effects[path]; ok {
			return effect
		}
		end := strings.LastIndexByte(path, '.')
		if end < 0 {
			return ""
		}
		path = path[:end]
	}
}

// change gives the field another value.
func change(field reflect.Value, index []int) {
	for len(index) > 0 || field.Kind() == reflect.Pointer {
		switch field.Kind() {
		case reflect.Pointer:
			if field.IsNil() {
				field.Set(reflect.New(field.Type().Elem()))
			}
			field = field.Elem()
		case reflect.Slice:
			if field.Len() == 0 {
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			}
			field = field.Index(0)
		default:
			field, index = field.Field(index[0]), index[1:]
		}
	}
	set(field)
}

// set gives another value to a field that has no fields of the API below it.
func set(field reflect.Value) {
	switch field.Kind() {
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Int32, reflect.Int64:
		field.SetInt(field.Int() + 1)
	case reflect.Map:
		field.Set(reflect.MakeMap(field.Type()))
		key, value := reflect.New(field.Type().Key()).Elem(), reflect.New(field.Type().Elem()).Elem()
		set(key)
		set(value)
		field.SetMapIndex(key, value)
	case reflect.Slice:
		element := reflect.New(field.Type().Elem()).Elem()
		set(element)
		field.Set(reflect.Append(field, element))
	case reflect.Struct:
		if resources, ok := field.Addr().Interface().(*corev1.ResourceRequirements); ok {
			resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("7")}
			return
		}
		set(field.Field(0))
	}
}

// templateHashes returns the template hashes of all legs of a pair.
func templateHashes(pair *v1alpha1.StreamPair) []string {
	var hashes []string
	for _, object := range objects.Of(pair, objectstest.Settings()) {
		if hash := object.TemplateHash(); hash != "" {
			hashes = append(hashes, hash)
		}
	}
	return hashes
}

// The reference tells users which changes replace media pods. This
// must hold for each field and must not change. Otherwise an upgrade
// would replace pods as if their users had changed something.
func TestEachFieldOfTheSpecReplacesPodsOrNotAsTheReferenceSays(t *testing.T) {
	samples := objectstest.Pairs(t)
	used := map[string]bool{}
	for _, field := range specFields(reflect.TypeFor[v1alpha1.StreamPairSpec](), "", nil) {
		t.Run(field.path, func(t *testing.T) {
			effect := effectOf(field.path)
			if effect == "" {
				t.Fatal("the API does not say what a change does: add the field to Effects")
			}
			replaces := ""
			for _, name := range slices.Sorted(maps.Keys(samples)) {
				for _, value := range append([]string{""}, furtherValues[field.path]...) {
					pair := samples[name].DeepCopy()
					before := templateHashes(pair)
					spec := reflect.ValueOf(&pair.Spec).Elem()
					if change(spec, field.index); value != "" {
						setString(spec, field.index, value)
					}
					if !slices.Equal(before, templateHashes(pair)) {
						replaces = name
					}
				}
			}
			if (replaces != "") != (effect == v1alpha1.EffectReplace) {
				t.Errorf("a change replaces pods of %q, and the API says: %s", replaces, effect)
			}
		})
		for path := field.path; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
			used[path] = true
		}
	}
	for path := range v1alpha1.Effects() {
		if !used[path] {
			t.Errorf("Effects has %s, and the spec has not", path)
		}
	}
}

// furtherValues are other values of fields whose value decides about pods.
var furtherValues = map[string][]string{
	"exposure.webrtc.type": {string(v1alpha1.ExposureHostPort)},
}

func setString(field reflect.Value, index []int, value string) {
	field.FieldByIndex(index).SetString(value)
}
