// Package orphans decides which objects without an owner certainly belong to a pair, and
// makes the patch by which the pair adopts them. It is pure. [Fault] is where to start.
package orphans

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
)

// Objects of a pair lose their owner in a restore from a backup, and when
// the pair is deleted with --cascade=orphan. The operator adopts such an
// object if it provably belongs to the pair; see Fault. Every other object
// with a name that the pair needs is a Conflict, and stays as it is.

// A Conflict is an object that has a name the pair needs but does not belong to the pair.
type Conflict struct {
	objects.Key
	// Why says what keeps the operator from adopting the object, such as "it has no label x".
	Why string
}

// WhyUnseen is why an object that the cache does not have is not an orphan.
const WhyUnseen = "it has no label " + v1alpha1.LabelPair

// An Adoption makes an orphan the pair's object.
type Adoption struct {
	objects.Key
	// UID and ResourceVersion are those of the orphan when it was judged.
	UID             types.UID
	ResourceVersion string
	// TokenGeneration is the new value of AnnotationTokenGeneration
	// of a Secret. Empty: the value stays.
	TokenGeneration string
}

// Fault returns why an object is not an orphan of the pair. Empty: it is an orphan of the pair.
//
// An orphan has no controller and is not being deleted. It has the pair's labels and the
// operator's annotation, which no other program writes. An apply can turn it into what
// the operator wants: it differs in no field that the API server refuses to change. All
// keys of a Secret are present and well-formed, so that an adoption invents no token.
func Fault(pair *v1alpha1.StreamPair, key objects.Key, object client.Object) string {
	if fault := MetadataFault(pair, key, object); fault != "" {
		return fault
	}
	switch object := object.(type) {
	case *corev1.Secret:
		return keys.Fault(pair, object)
	case *corev1.ConfigMap:
		if isTrue(object.Immutable) {
			return "it is immutable"
		}
	case *corev1.Service:
		if isHeadless, want := object.Spec.ClusterIP == corev1.ClusterIPNone, isPodsService(pair, key); isHeadless != want {
			return "its spec.clusterIP would have to change, and cannot"
		}
	case *appsv1.Deployment:
		if s := object.Spec.Selector; s == nil || len(s.MatchExpressions) > 0 || !maps.Equal(s.MatchLabels, objects.LegSelector(pair.Name, roleOf(pair, key))) {
			return "its spec.selector would have to change, and cannot"
		}
	}
	return ""
}

// MetadataFault is Fault, judged by the metadata only.
func MetadataFault(pair *v1alpha1.StreamPair, key objects.Key, object metav1.Object) string {
	if owner := metav1.GetControllerOf(object); owner != nil {
		if owner.Kind == v1alpha1.Kind && owner.Name == pair.Name && owner.UID != pair.UID {
			return fmt.Sprintf("its owner is a pair of this name that is gone (UID %s)", owner.UID)
		}
		return fmt.Sprintf("its owner is %s %s", owner.Kind, owner.Name)
	}
	if object.GetDeletionTimestamp() != nil {
		return "it is being deleted"
	}
	labels := objects.PairLabels(pair.Name)
	if role := roleOf(pair, key); role != "" {
		labels = objects.LegLabels(pair.Name, role)
	}
	names := slices.Sorted(maps.Keys(labels))
	for _, name := range append([]string{v1alpha1.LabelPair}, names...) {
		if object.GetLabels()[name] != labels[name] {
			return fmt.Sprintf("it has no label %s=%s", name, labels[name])
		}
	}
	if object.GetAnnotations()[objects.AnnotationApplied] == "" {
		return "it has no annotation " + objects.AnnotationApplied
	}
	return ""
}

func isTrue(b *bool) bool { return b != nil && *b }

// Adopt returns the adoption of the orphan with that key.
//
// A Secret keeps its tokens if it is of a later spec.publish.TokenGeneration,
// because a pair that was made again counts from the beginning. A Secret of
// an earlier generation is renewed, as the spec asks.
func Adopt(pair *v1alpha1.StreamPair, key objects.Key, orphan client.Object) Adoption {
	a := Adoption{Key: key, UID: orphan.GetUID(), ResourceVersion: orphan.GetResourceVersion()}
	if before := orphan.GetAnnotations()[v1alpha1.AnnotationTokenGeneration]; key.Kind == objects.KindSecret && keys.IsLater(before, pair) {
		a.TokenGeneration = keys.TokenGeneration(pair)
	}
	return a
}

// roleOf returns the leg of the object with that
// key. Empty: the object belongs to the whole pair.
func roleOf(pair *v1alpha1.StreamPair, key objects.Key) v1alpha1.Role {
	for _, role := range objects.Roles() {
		switch {
		case key.Kind == objects.KindDeployment && key.Name == objects.DeploymentName(pair.Name, role):
			return role
		case key.Kind == objects.KindService && slices.Contains(legServices(pair, role), key.Name):
			return role
		}
	}
	return ""
}

func legServices(pair *v1alpha1.StreamPair, role v1alpha1.Role) []string {
	return []string{
		objects.RTMPServiceName(pair.Name, role), objects.MediaServiceName(pair.Name, role), objects.MediaTCPServiceName(pair.Name, role),
		objects.PodsServiceName(pair.Name, role), objects.SRTServiceName(pair.Name, role),
	}
}

func isPodsService(pair *v1alpha1.StreamPair, key objects.Key) bool {
	role := roleOf(pair, key)
	return role != "" && key.Name == objects.PodsServiceName(pair.Name, role)
}
