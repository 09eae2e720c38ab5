package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// AnnotationApplied is on each object of a pair and tells apart what the operator applied.
//
// It lets an apply that would change nothing be left out, without a request. Two things
// must hold for that. The object has the hash of what is to be applied: a field that was
// dropped from there, and must go from the object, is seen by it. And the object has the
// value of each field that is to be applied: what somebody else changed is seen by that,
// whatever the annotation says. When in doubt the answer is to apply, which costs a
// request and, if nothing really differs, changes nothing.
const AnnotationApplied = "media.streampair.dev/applied"

// Where a webhook has the last word, say on the registry of images, the object never has
// what is applied. What the server made of an apply is remembered therefore: an object that
// is like that is settled. See wanted.answered.

// A desired object is one to be applied, with the annotation. Its tree is made when it is
// needed: kept, those of all pairs would be half of the operator's memory.
type desired struct{ Object }

// newDesired adds the annotation to an object of the pair.
func newDesired(o Object) desired {
	text, err := json.Marshal(o.Config)
	if err != nil {
		panic(fmt.Sprintf("write %s %s: %v", o.Kind, o.Name, err)) // strings, numbers and quantities
	}
	sum := sha256.Sum256(text)
	o.meta.WithAnnotations(map[string]string{AnnotationApplied: hex.EncodeToString(sum[:8])})
	return desired{o}
}

// tree returns the tree of the object's JSON, as the API's own types write it: they leave
// out false, 0 and "" where those say nothing, and keep them where they do.
func (d desired) tree() map[string]any {
	object, err := d.unstructured()
	if err != nil {
		panic(err) // see newDesired
	}
	o, err := asTyped(d.Kind, object)
	if err != nil {
		panic(err) // written by these types
	}
	return treeOf(o)
}

// asTyped returns an object of a pair in the API's own type.
func asTyped(kind string, object *unstructured.Unstructured) (client.Object, error) {
	o := newObject(kind)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, o); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, object.GetName(), err)
	}
	return o, nil
}

// contentOf tells apart what people and webhooks can change of an object. What the cluster
// itself writes, such as versions and the status, is not of it.
func contentOf(o client.Object) string {
	tree := treeOf(o)
	annotations := map[string]string{}
	for key, value := range o.GetAnnotations() {
		if !strings.HasPrefix(key, "deployment.kubernetes.io/") {
			annotations[key] = value
		}
	}
	delete(tree, "apiVersion")
	delete(tree, "kind")
	delete(tree, "status")
	tree["metadata"] = []any{o.GetUID(), o.GetLabels(), annotations, o.GetOwnerReferences()}
	text, err := json.Marshal(tree)
	if err != nil {
		panic(fmt.Sprintf("write %T %s: %v", o, o.GetName(), err)) // an object of the API's own types
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// changes says whether applying d would change live.
func (d desired) changes(live client.Object) bool {
	have, want := treeOf(live), d.tree()
	// The server leaves them out of typed objects, and they are part of the request's path.
	have["apiVersion"], have["kind"] = want["apiVersion"], want["kind"]
	delete(want, "status") // a type writes it though nothing is in it
	return !has(have, want, "")
}

// changesTemplate says whether applying d would change the pod template of live.
func (d desired) changesTemplate(live client.Object) bool {
	return !has(template(treeOf(live)), template(d.tree()), "template")
}

func template(tree map[string]any) any {
	spec, _ := tree["spec"].(map[string]any)
	return spec["template"]
}

// treeOf returns the tree of an object's JSON.
func treeOf(o client.Object) map[string]any {
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		panic(fmt.Sprintf("write %T %s: %v", o, o.GetName(), err)) // an object of the API's own types
	}
	return tree
}

// has says whether live has every value of want. It may have more: defaults, and what
// others own. Where an addition would change the meaning, it may not: an element more in a
// list, a label more in a selector.
func has(live, want any, field string) bool {
	switch want := want.(type) {
	case nil:
		return true
	case map[string]any:
		tree, ok := live.(map[string]any)
		if !ok && live != nil || isSelector(field) && len(tree) != len(want) {
			return false
		}
		for key, value := range want {
			if !has(tree[key], value, inside(field, key)) {
				return false
			}
		}
		return true
	case []any:
		list, ok := live.([]any)
		if !ok && live != nil || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !hasElement(list, i, want[i], field) {
				return false
			}
		}
		return true
	}
	return sameValue(live, want, field)
}

// hasElement looks for an element of a list: in its place, and one with keys anywhere, as
// the server may keep such lists in another order.
func hasElement(list []any, i int, want any, field string) bool {
	if has(list[i], want, field) {
		return true
	}
	if _, keyed := want.(map[string]any); !keyed {
		return false
	}
	for _, element := range list {
		if has(element, want, field) {
			return true
		}
	}
	return false
}

func isSelector(field string) bool {
	switch field {
	case "selector", "matchLabels", "nodeSelector":
		return true
	}
	return false
}

// inside names the field of a value; the entries of quantities go by the name of theirs.
func inside(field, key string) string {
	switch field {
	case "requests", "limits":
		return field
	}
	return key
}

// sameValue compares two values that are neither maps nor lists.
func sameValue(live, want any, field string) bool {
	if a, ok := number(live); ok {
		b, ok := number(want)
		return ok && a == b
	}
	if live == want {
		return true
	}
	switch field {
	case "requests", "limits", "sizeLimit":
		a, errA := resource.ParseQuantity(fmt.Sprint(live))
		b, errB := resource.ParseQuantity(fmt.Sprint(want))
		return errA == nil && errB == nil && a.Cmp(b) == 0
	}
	return false
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// isOwned says whether the object is the pair's. An object of a pair of that name that was
// deleted is not.
func isOwned(o client.Object, pair *v1alpha1.StreamPair) bool {
	return o != nil && !reflect.ValueOf(o).IsNil() && metav1.IsControlledBy(o, pair)
}
