// Package drift decides whether applying an object would change the
// existing one. It sends no requests, and in doubt it answers yes.
package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/streampair/streampair/controllers/objects"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// If a webhook changes each write, for example the registry of images, the
// object never is what is applied. The caller therefore remembers what the
// server made of an apply, and takes an object with that content as up to date.

// treeToApply returns the JSON tree of the object, as the API's own types write it.
// They leave out false, 0 and "" if these mean nothing, and keep them otherwise.
func treeToApply(d objects.Desired) map[string]any {
	object, err := d.Unstructured()
	if err != nil {
		panic(err) // see objects.NewDesired
	}
	o, err := objects.Typed(d.Kind, object)
	if err != nil {
		panic(err) // written by these types
	}
	return treeOf(o)
}

// ContentOf returns a text of all that people and webhooks can change in an object.
// It leaves out what the cluster itself writes, such as versions and the status.
func ContentOf(o client.Object) string {
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

// Changes reports whether applying d would change live.
func Changes(d objects.Desired, live client.Object) bool {
	have, want := treeOf(live), treeToApply(d)
	// The server leaves both out of typed objects, and both are part of the request's path.
	have["apiVersion"], have["kind"] = want["apiVersion"], want["kind"]
	delete(want, "status") // its type writes an empty status
	return !has(have, want, "")
}

// ChangesTemplate reports whether applying d would change the pod template of live.
func ChangesTemplate(d objects.Desired, live client.Object) bool {
	return !has(template(treeOf(live)), template(treeToApply(d)), "template")
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

// has reports whether live has every value of want. live may have more:
// defaults, and what others own. It may not have more where that would change
// the meaning: another element of a list, another label of a selector.
func has(live, want any, field string) bool {
	switch want := want.(type) {
	case nil:
		return true
	case map[string]any:
		tree, ok := live.(map[string]any)
		if _, there := tree[corev1.LabelOSStable]; field == "nodeSelector" && !there {
			want = maps.Clone(want)
			delete(want, corev1.LabelOSStable) // see objects.Object
		}
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

// hasElement reports whether list has the element want of index i. An element with
// keys may be anywhere, because the server may keep such lists in another order.
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

// inside returns the field name of a value. Entries
// of requests and limits keep the name of that map.
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
