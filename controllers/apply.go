package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/orphans"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/status"
)

const (
	// pushTimeout bounds how long a slow pod delays its pair's reconcile and the status.
	pushTimeout = 2 * time.Second
	// pushRetry is when a pod that refused or did not answer is told again. A
	// Secret that the pod lacks is brought by the kubelet within a minute or two.
	pushRetry = 10 * time.Second
	// refusedRetry is when an object that the API server refused by
	// a rule is tried again. A person has to change something first.
	refusedRetry = 15 * time.Second
	// failuresTold is after how many failures in a row the status shows what the
	// API server says of an object. A single failure may be over in a moment.
	failuresTold = 3
)

// An Outcome is the result of applying a plan.
type Outcome struct {
	status.Applied
	// Recheck is when to try again what failed but is not reported as an error.
	Recheck time.Duration
	// Err is what failed and is tried again with back-off.
	Err error
}

// apply carries out a plan as far as possible. A failure does not
// keep the rest from being tried. The outcome has every failure.
func (r *StreamPairReconciler) apply(ctx context.Context, pair *v1alpha1.StreamPair, want *desired, plan *Plan) *Outcome {
	outcome := &Outcome{Applied: status.Applied{
		Conflicts: slices.Clone(plan.Conflicts), Accepted: map[pods.Key]bool{}, PushErrors: map[pods.Key]string{},
		AddressErrors: map[pods.Key]string{},
	}}
	orphans, deployments := splitDeployments(plan.Adoptions)
	r.adopt(ctx, pair, orphans, outcome)
	for _, w := range plan.Writes {
		if w.Object.Kind == objects.KindDeployment && w.UID == "" && len(outcome.Conflicts) > 0 {
			continue // see decideObjects
		}
		answer, err := r.write(ctx, pair, w)
		outcome.note(w.Object.Key(), err)
		if want.keepsFailing(w.Object.Key(), err) {
			outcome.Refused = append(outcome.Refused, fmt.Sprintf("%s: %s", w.Object.Key(), apiMessage(err)))
		}
		if err == nil {
			if answer != nil && w.Object.Kind != objects.KindSecret {
				want.noteAnswer(w.Object, answer)
			}
			log.FromContext(ctx).Info("object written", "kind", w.Object.Kind, "object", w.Object.Name, "created", w.UID == "")
		}
	}
	if !mountsConflict(outcome.Conflicts) {
		r.adopt(ctx, pair, deployments, outcome)
	}
	for _, object := range plan.Deletes {
		uid := object.GetUID()
		err := r.Client.Delete(ctx, object, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			outcome.Err = errors.Join(outcome.Err, fmt.Errorf("delete %s: %w", object.GetName(), err))
		}
	}
	if found := outcome.Conflicts[len(plan.Conflicts):]; len(found) > 0 {
		wait := recheckConflicts(pair, outcome.Conflicts, r.Now())
		outcome.Recheck = hints.Earliest(outcome.Recheck, wait)
		for _, one := range found {
			want.note(one.Key).retryAt = r.Now().Add(wait)
		}
	}
	if !plan.KeepsFollowing {
		r.Pods.Follow(client.ObjectKeyFromObject(pair), plan.Follow)
	}
	r.push(ctx, r.confirmed(ctx, pair, plan.Pushes, outcome), outcome)
	return outcome
}

// note adds the result of a write to the outcome.
func (o *Outcome) note(key objects.Key, err error) {
	var conflict conflictError
	switch {
	case err == nil:
	case errors.As(err, &conflict):
		o.Conflicts = append(o.Conflicts, orphans.Conflict{Key: key, Why: conflict.why})
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		// The causes are a quota, a policy, or a value that only the API
		// server can judge. A person has to act, and needs to read what to do.
		o.Refused = append(o.Refused, fmt.Sprintf("%s: %s", key, apiMessage(err)))
		o.Recheck = hints.Earliest(o.Recheck, refusedRetry)
	default:
		o.Err = errors.Join(o.Err, fmt.Errorf("apply %s: %w", key, err))
	}
}

// isServerFailure reports whether the API server answered that it
// failed, or that something it depends on failed. Examples are a dead
// webhook, or node ports and cluster addresses that are used up.
func isServerFailure(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError
}

func apiMessage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return status.Status().Message
	}
	return err.Error()
}

// A conflictError says that an object of that name is not the pair's.
type conflictError struct {
	key objects.Key
	why string // see orphans.Conflict
}

func (e conflictError) Error() string {
	return fmt.Sprintf("%s is not an object of this pair: %s", e.key, e.why)
}

// write creates an object or applies it, and returns what the server made of
// it. A plain apply would take over any object of that name. A create does
// not, and an apply with a UID only applies to the object with that UID.
func (r *StreamPairReconciler) write(ctx context.Context, pair *v1alpha1.StreamPair, w Write) (client.Object, error) {
	uid := w.UID
	if uid == "" {
		object, err := w.Object.Unstructured()
		if err != nil {
			return nil, err
		}
		err = r.Client.Create(ctx, object, client.FieldOwner(objects.FieldOwner))
		if err == nil {
			return objects.Typed(w.Object.Kind, object)
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		// The object exists but is not in the cache: the cache
		// lags, or the object lacks the operator's labels.
		there, notRead := r.metadataOf(ctx, pair, w.Object.Key())
		if notRead != nil {
			return nil, notRead
		}
		if !metav1.IsControlledBy(there, pair) {
			fault := orphans.MetadataFault(pair, w.Object.Key(), there)
			if fault == "" {
				return nil, err // an orphan that was just made: the cache will have it in a moment
			}
			return nil, conflictError{w.Object.Key(), fault}
		}
		uid = there.UID
	}
	if err := r.ownByApply(ctx, pair, w.Object.Key(), uid); err != nil {
		return nil, err
	}
	answer, err := r.applyTo(ctx, w.Object, uid)
	if err != nil {
		return nil, err
	}
	return r.removeAddedPorts(ctx, w.Object, answer)
}

// applyTo applies an object to the existing one with
// that UID, and returns what the server made of it.
func (r *StreamPairReconciler) applyTo(ctx context.Context, o objects.Desired, uid types.UID, options ...client.ApplyOption) (client.Object, error) {
	object, err := o.Unstructured()
	if err != nil {
		return nil, err
	}
	object.SetUID(uid)
	options = append(options, client.FieldOwner(objects.FieldOwner), client.ForceOwnership)
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...); err != nil {
		return nil, err
	}
	return objects.Typed(o.Kind, object)
}

// ownByApply makes the fields that came with a create the operator's by apply. Otherwise
// the create would own them for ever, and a field that is no longer applied would stay.
func (r *StreamPairReconciler) ownByApply(ctx context.Context, pair *v1alpha1.StreamPair, key objects.Key, uid types.UID) error {
	there, err := r.metadataOf(ctx, pair, key)
	if err != nil {
		return err
	}
	if there.UID != uid {
		return apierrors.NewConflict(schema.GroupResource{Resource: key.Kind}, key.Name, errors.New("the object was replaced meanwhile"))
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(there, sets.New(objects.FieldOwner), objects.FieldOwner)
	if err != nil || patch == nil {
		return err
	}
	return r.Client.Patch(ctx, there, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(objects.FieldOwner))
}

// metadataOf asks the API server itself, and only for the metadata.
func (r *StreamPairReconciler) metadataOf(ctx context.Context, pair *v1alpha1.StreamPair, key objects.Key) (*metav1.PartialObjectMetadata, error) {
	kinds, _, err := r.Client.Scheme().ObjectKinds(objects.Empty(key.Kind))
	if err != nil {
		return nil, err
	}
	there := &metav1.PartialObjectMetadata{}
	there.SetGroupVersionKind(kinds[0])
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: key.Name}, there)
	return there, err
}

// confirmed returns the pushes, without the manifests if the pair is not
// the latest. If a pod has a newer manifest in force, either the pair was
// made again or restored, or the cache lags. Only the API server knows.
func (r *StreamPairReconciler) confirmed(ctx context.Context, pair *v1alpha1.StreamPair, pushes []Push, outcome *Outcome) []Push {
	if !slices.ContainsFunc(pushes, func(p Push) bool { return p.Replaces != (pods.ManifestVersion{}) }) {
		return pushes
	}
	latest := &v1alpha1.StreamPair{}
	err := r.Reader.Get(ctx, client.ObjectKeyFromObject(pair), latest)
	if err == nil && pods.VersionOf(latest) == pods.VersionOf(pair) {
		return pushes
	}
	if client.IgnoreNotFound(err) != nil {
		outcome.Err = errors.Join(outcome.Err, fmt.Errorf("read the pair: %w", err))
	}
	outcome.Recheck = hints.Earliest(outcome.Recheck, pushRetry)
	pushes = slices.Clone(pushes)
	for i := range pushes {
		if pushes[i].Replaces != (pods.ManifestVersion{}) {
			pushes[i].Manifest = nil
		}
	}
	return pushes
}

// push tells all pods their news at the same time.
func (r *StreamPairReconciler) push(ctx context.Context, pushes []Push, outcome *Outcome) {
	if len(pushes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	type answer struct{ config, addresses, peers error }
	answers := make([]answer, len(pushes))
	var all sync.WaitGroup
	for i, one := range pushes {
		all.Go(func() {
			if one.Peers != nil { // first, because a relay may wait for the peers
				answers[i].peers = r.Pods.PutPeers(ctx, one.Pod, *one.Peers)
			}
			if one.Manifest != nil {
				options := []pods.ConfigOption{pods.OfVersion(one.Version)}
				if one.Replaces != (pods.ManifestVersion{}) {
					options = append(options, pods.Replacing(one.Replaces))
				}
				answers[i].config = r.Pods.PutConfig(ctx, one.Pod, one.Manifest, options...)
			}
			if answers[i].config == nil && one.TellAddresses {
				answers[i].addresses = r.Pods.PutAddresses(ctx, one.Pod, one.Addresses)
			}
		})
	}
	all.Wait()
	// A pod that is not connected starts a reconcile once it is, and is told then.
	for i, one := range pushes {
		switch err := answers[i].config; {
		case err == nil:
			outcome.Accepted[one.Pod] = one.Manifest != nil
		case !errors.Is(err, pods.ErrNotConnected):
			outcome.PushErrors[one.Pod] = err.Error()
			outcome.Recheck = hints.Earliest(outcome.Recheck, pushRetry)
		}
		if err := answers[i].peers; err != nil && !errors.Is(err, pods.ErrNotConnected) {
			outcome.PushErrors[one.Pod] = err.Error()
			outcome.Recheck = hints.Earliest(outcome.Recheck, pushRetry)
		}
		if err := answers[i].addresses; err != nil && !errors.Is(err, pods.ErrNotConnected) {
			outcome.AddressErrors[one.Pod] = err.Error()
			outcome.Recheck = hints.Earliest(outcome.Recheck, pushRetry)
		}
	}
}

// splitDeployments separates the Deployments, which are
// adopted only after all other objects were found free.
func splitDeployments(adoptions []orphans.Adoption) (others, deployments []orphans.Adoption) {
	for _, a := range adoptions {
		if a.Kind == objects.KindDeployment {
			deployments = append(deployments, a)
		} else {
			others = append(others, a)
		}
	}
	return others, deployments
}

// mountsConflict reports whether a media pod would mount one of the conflicting objects.
func mountsConflict(conflicts []orphans.Conflict) bool {
	return slices.ContainsFunc(conflicts, func(c orphans.Conflict) bool { return c.Kind == objects.KindSecret || c.Kind == objects.KindConfigMap })
}
