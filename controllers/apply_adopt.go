package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/orphans"
)

// adoptedRecheck is when a pair that has adopted something is reconciled again.
// Adopting a Secret starts no reconcile, because Secrets are not watched.
const adoptedRecheck = 100 * time.Millisecond

// adopt makes orphans the pair's, and records an Event for each. It
// writes metadata only. The apply that follows corrects the spec of
// an object. For a Deployment it does so in the order of a rollout.
func (r *StreamPairReconciler) adopt(ctx context.Context, pair *v1alpha1.StreamPair, adoptions []orphans.Adoption, outcome *Outcome) {
	if len(adoptions) == 0 {
		return
	}
	if stays, err := r.stays(ctx, pair); err != nil || !stays {
		outcome.Err = errors.Join(outcome.Err, err)
		return
	}
	for _, a := range adoptions {
		there, err := r.adoptOne(ctx, pair, a)
		switch {
		case err == nil:
			outcome.Recheck = hints.Earliest(outcome.Recheck, adoptedRecheck)
			log.FromContext(ctx).Info("object adopted", "kind", a.Kind, "object", a.Name, "uid", a.UID)
			// The object is the related object of the Event. Otherwise the
			// recorder would take several Events about one pair for repetitions.
			r.Recorder.Eventf(pair, there, corev1.EventTypeNormal, v1alpha1.EventAdopted, actionAdopt,
				"%s (UID %s) had no owner. The pair has adopted the object.", a.Key, a.UID)
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			outcome.Refused = append(outcome.Refused, fmt.Sprintf("%s cannot be adopted: %s%s", a.Key, apiMessage(err), missingRight(err, there)))
			outcome.Recheck = hints.Earliest(outcome.Recheck, refusedRetry)
		default:
			outcome.Err = errors.Join(outcome.Err, fmt.Errorf("adopt %s: %w", a.Key, err))
		}
	}
}

// stays asks the API server itself whether the pair exists and is not being
// deleted. After delete --cascade=orphan the cache may still have the pair,
// while the garbage collector removes it as owner of its objects. Objects
// that were given back to such a pair would be deleted with it.
func (r *StreamPairReconciler) stays(ctx context.Context, pair *v1alpha1.StreamPair) (bool, error) {
	now := &v1alpha1.StreamPair{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(pair), now); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return now.UID == pair.UID && now.DeletionTimestamp.IsZero(), nil
}

// missingRight names the right that the operator lacks. The admission plugin
// OwnerReferencesPermissionEnforcement demands more rights than RBAC does. Its
// refusals have no causes or details, so only their wording tells them apart.
// Another wording loses the advice; the condition and its reason stay.
func missingRight(err error, object *metav1.PartialObjectMetadata) string {
	switch {
	case object == nil || !apierrors.IsForbidden(err):
		return ""
	case strings.Contains(err.Error(), "resource you can't delete"):
		return fmt.Sprintf(". The operator needs the right to delete %s (rbac.adopt=true in the chart)", resourceOf(object))
	case strings.Contains(err.Error(), "resource you can't set finalizers on"):
		return ". The operator needs the right to update streampairs/finalizers"
	}
	return ""
}

// resourceOf returns the resource name of a pair's object,
// as RBAC spells it. All plurals but one are regular.
func resourceOf(object *metav1.PartialObjectMetadata) string {
	plural := strings.ToLower(object.Kind) + "s"
	if object.Kind == objects.KindNetworkPolicy {
		plural = "networkpolicies"
	}
	return schema.GroupResource{Group: object.GroupVersionKind().Group, Resource: plural}.String()
}

func (r *StreamPairReconciler) adoptOne(ctx context.Context, pair *v1alpha1.StreamPair, a orphans.Adoption) (*metav1.PartialObjectMetadata, error) {
	there, err := r.metadataOf(ctx, pair, a.Key)
	if err != nil {
		return nil, err
	}
	if there.UID != a.UID || there.ResourceVersion != a.ResourceVersion {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: a.Kind}, a.Name, errors.New("the object has changed since it was looked at"))
	}
	if len(there.ManagedFields) == 0 {
		if err := r.track(ctx, there); err != nil {
			return there, err
		}
		return there, apierrors.NewConflict(schema.GroupResource{Resource: a.Kind}, a.Name, errors.New("who manages its fields was not known"))
	}
	patch, err := orphans.Patch(pair, a, there, r.Now())
	if err != nil {
		return nil, err
	}
	return there, r.Client.Patch(ctx, there.DeepCopy(), client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(objects.FieldOwner))
}

// track makes the API server record the operator as owner of an
// object's fields, by an apply that changes nothing. Without a
// recorded owner, which somebody removed, a field would stay for ever.
func (r *StreamPairReconciler) track(ctx context.Context, object *metav1.PartialObjectMetadata) error {
	config := &unstructured.Unstructured{}
	config.SetGroupVersionKind(object.GroupVersionKind())
	config.SetNamespace(object.Namespace)
	config.SetName(object.Name)
	config.SetUID(object.UID)
	config.SetLabels(map[string]string{v1alpha1.LabelPair: object.Labels[v1alpha1.LabelPair]})
	return r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(config), client.FieldOwner(objects.FieldOwner), client.ForceOwnership)
}
