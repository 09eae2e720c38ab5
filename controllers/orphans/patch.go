package orphans

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// A patchOperation is one operation of a JSON patch (RFC 6902, section 4).
type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Patch returns a JSON patch for an orphan. It makes the pair the
// controller, and the operator the owner of the fields that it applies.
// The API server refuses the patch if the orphan has changed since.
func Patch(pair *v1alpha1.StreamPair, a Adoption, there *metav1.PartialObjectMetadata, now time.Time) ([]byte, error) {
	others := slices.DeleteFunc(slices.Clone(there.OwnerReferences), func(o metav1.OwnerReference) bool { return o.UID == pair.UID })
	owners := append(others, *metav1.NewControllerRef(pair, v1alpha1.GroupVersion.WithKind(v1alpha1.Kind)))
	managers, err := takenOver(a.Kind, there, now)
	if err != nil {
		return nil, fmt.Errorf("read who manages its fields: %w", err)
	}
	annotation := func(name, value string) patchOperation {
		return patchOperation{"add", "/metadata/annotations/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), value}
	}
	operations := []patchOperation{
		{"add", "/metadata/ownerReferences", owners},
		annotation(objects.AnnotationApplied, objects.AppliedByAdoption),
		{"replace", "/metadata/managedFields", managers},
		{"replace", "/metadata/resourceVersion", there.ResourceVersion},
	}
	if a.TokenGeneration != "" {
		operations = append(operations, annotation(v1alpha1.AnnotationTokenGeneration, a.TokenGeneration))
	}
	return json.Marshal(operations)
}

// takenOver returns the managed fields of an object once it is adopted. What others
// wrote in its spec becomes the operator's. A field that the operator does not apply,
// such as a container or port that somebody added, is then removed by the next apply.
func takenOver(kind string, object *metav1.PartialObjectMetadata, now time.Time) ([]metav1.ManagedFieldsEntry, error) {
	own := metav1.ManagedFieldsEntry{
		Manager: objects.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1",
		APIVersion: object.APIVersion, Time: &metav1.Time{Time: now.Truncate(time.Second)},
	}
	fields := &fieldpath.Set{}
	var others []metav1.ManagedFieldsEntry
	for _, entry := range object.ManagedFields {
		if entry.Subresource == "status" || entry.FieldsV1 == nil {
			others = append(others, entry)
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return nil, err
		}
		rest := &fieldpath.Set{}
		isOwn := entry.Manager == objects.FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		for path := range set.All() {
			if isOwn || isTaken(kind, path) {
				fields.Insert(path.Copy())
			} else {
				rest.Insert(path.Copy())
			}
		}
		if rest.Empty() {
			continue
		}
		raw, err := rest.ToJSON()
		if err != nil {
			return nil, err
		}
		entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
		others = append(others, entry)
	}
	if fields.Empty() {
		return others, nil
	}
	raw, err := fields.ToJSON()
	if err != nil {
		return nil, err
	}
	own.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return append(others, own), nil
}

// keptFields are the fields of a spec that are not taken over: those that
// the API server or a cloud assigned, and those that cannot be changed.
var keptFields = []string{
	"spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy", "spec.healthCheckNodePort",
	"spec.loadBalancerIP", "spec.loadBalancerClass",
	// kubectl rollout restart writes this annotation. Removing it would replace the media pods.
	"spec.template.metadata.annotations.kubectl.kubernetes.io/restartedAt",
}

// isTaken reports whether a field of an orphan becomes the operator's. Metadata stay with
// those who wrote them: finalizers and annotations of a cloud, labels of a backup. The
// keys of a Secret stay too, and the credentials that a cluster adds to a ServiceAccount.
func isTaken(kind string, path fieldpath.Path) bool {
	if len(path) == 0 || path[0].FieldName == nil {
		return false
	}
	var names []string
	for _, element := range path {
		if element.FieldName == nil {
			break
		}
		names = append(names, *element.FieldName)
	}
	switch name := strings.Join(names, "."); {
	case names[0] == "spec":
		return !slices.Contains(keptFields, name)
	case kind == objects.KindConfigMap:
		return names[0] == "data" || names[0] == "binaryData"
	case kind == objects.KindServiceAccount:
		return names[0] == "automountServiceAccountToken"
	}
	return false
}
