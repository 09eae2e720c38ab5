package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// pushTimeout bounds what a slow pod costs its pair's reconcile, and the status after it.
	pushTimeout = 2 * time.Second
	// pushRetry is when a pod is told again that refused or did not answer. A Secret that it
	// misses comes by the kubelet, within a minute or two.
	pushRetry = 10 * time.Second
	// refusedRetry is when an object is tried again that the API server refused by a rule:
	// it takes a person to change that.
	refusedRetry = 15 * time.Second
	// failuresTold is after how many failures in a row the status has what the API server says
	// of an object: a single one may be over in a moment.
	failuresTold = 3
)

// An Outcome is what came of a plan.
type Outcome struct {
	// Conflicts are objects in the way; see Plan.
	Conflicts []ObjectKey
	// Refused are the objects that the API server does not take, and why.
	Refused []string
	// Accepted are the pods that have the manifest in force.
	Accepted map[PodKey]bool
	// PushErrors say why other pods have not, one line each.
	PushErrors map[PodKey]string
	// AddressErrors say why pods did not take their media addresses, one line each.
	AddressErrors map[PodKey]string
	// Recheck is when to try again what failed without being worth an error.
	Recheck time.Duration
	// Err is what failed and is to be tried again with back-off.
	Err error
}

// refusal says why the pod did not take the manifest, to be put into a sentence.
func (o *Outcome) refusal(pod PodKey) string {
	if message := o.PushErrors[pod]; message != "" {
		return ": " + strings.TrimSuffix(message, ".")
	}
	return ""
}

// apply carries out a plan as far as it goes: what fails does not keep the rest from being
// tried, and all of it is in the outcome.
func (r *StreamPairReconciler) apply(ctx context.Context, pair *v1alpha1.StreamPair, want *wanted, plan *Plan) *Outcome {
	outcome := &Outcome{
		Conflicts: slices.Clone(plan.Conflicts), Accepted: map[PodKey]bool{}, PushErrors: map[PodKey]string{},
		AddressErrors: map[PodKey]string{},
	}
	for _, w := range plan.Writes {
		if w.Object.Kind == KindDeployment && w.UID == "" && len(outcome.Conflicts) > 0 {
			continue // see decideObjects
		}
		answer, err := r.write(ctx, pair, w)
		outcome.note(w.Object.Key(), err)
		if want.keepsFailing(w.Object.Key(), err) {
			outcome.Refused = append(outcome.Refused, fmt.Sprintf("%s: %s", w.Object.Key(), apiMessage(err)))
		}
		if err == nil {
			if answer != nil && w.Object.Kind != KindSecret {
				want.answered(w.Object, answer)
			}
			log.FromContext(ctx).Info("object written", "kind", w.Object.Kind, "object", w.Object.Name, "created", w.UID == "")
		}
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
		outcome.Recheck = earliest(outcome.Recheck, wait)
		for _, key := range found {
			want.inTheWay[key] = r.Now().Add(wait)
		}
	}
	r.Pods.Follow(client.ObjectKeyFromObject(pair), plan.Follow)
	r.push(ctx, plan.Pushes, outcome)
	return outcome
}

// note files how a write ended.
func (o *Outcome) note(key ObjectKey, err error) {
	var conflict conflictError
	switch {
	case err == nil:
	case errors.As(err, &conflict):
		o.Conflicts = append(o.Conflicts, key)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		// A quota, a policy, a value that only the API server can judge: somebody must do
		// something about it, and should read what.
		o.Refused = append(o.Refused, fmt.Sprintf("%s: %s", key, apiMessage(err)))
		o.Recheck = earliest(o.Recheck, refusedRetry)
	default:
		o.Err = errors.Join(o.Err, fmt.Errorf("apply %s: %w", key, err))
	}
}

// isServerFailure reports whether the API server answered that it, or what it asks, failed: a
// webhook that is dead, node ports or cluster addresses that are used up.
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

// conflictError: an object of that name is not the pair's.
type conflictError struct{ key ObjectKey }

func (e conflictError) Error() string { return e.key.String() + " is not an object of this pair" }

// write creates an object or applies it, and returns what the server made of it. An apply
// without more would take over whatever bears the name; a create does not, and an apply that
// carries a UID meets that object only.
func (r *StreamPairReconciler) write(ctx context.Context, pair *v1alpha1.StreamPair, w Write) (client.Object, error) {
	uid := w.UID
	if uid == "" {
		object, err := w.Object.unstructured()
		if err != nil {
			return nil, err
		}
		err = r.Client.Create(ctx, object, client.FieldOwner(FieldOwner))
		if err == nil {
			return asTyped(w.Object.Kind, object)
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		// The cache does not know it: it lags, or the object lacks our labels.
		there, err := r.metadataOf(ctx, pair, w.Object.Key())
		if err != nil {
			return nil, err
		}
		if !metav1.IsControlledBy(there, pair) {
			return nil, conflictError{w.Object.Key()}
		}
		uid = there.UID
	}
	if err := r.ownByApply(ctx, pair, w.Object.Key(), uid); err != nil {
		return nil, err
	}
	return r.applyTo(ctx, w.Object, uid)
}

// applyTo applies an object to the one of that UID, and returns what the server made of it.
func (r *StreamPairReconciler) applyTo(ctx context.Context, o desired, uid types.UID, options ...client.ApplyOption) (client.Object, error) {
	object, err := o.unstructured()
	if err != nil {
		return nil, err
	}
	object.SetUID(uid)
	options = append(options, client.FieldOwner(FieldOwner), client.ForceOwnership)
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...); err != nil {
		return nil, err
	}
	return asTyped(o.Kind, object)
}

// settleDoubts asks the server what applying a Deployment would make of it, where it differs
// from what was applied: an apply ends pods, unless a webhook would change it back. Where the
// server does not say, it is taken for what was applied, by its annotation.
func (r *StreamPairReconciler) settleDoubts(ctx context.Context, pair *v1alpha1.StreamPair, want *wanted, seen *Observation) {
	for i, role := range Roles() {
		live := seen.deployment(pair, role)
		if live == nil || !live.DeletionTimestamp.IsZero() || !want.isDoubtful(want.deployments[i], live) {
			continue
		}
		answer, err := r.applyTo(ctx, want.deployments[i], live.UID, client.DryRunAll)
		switch {
		case err == nil && contentOf(answer) == contentOf(live):
			want.answered(want.deployments[i], answer)
		case err == nil:
			want.drifted[want.deployments[i].Key()] = contentOf(live)
		case apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			want.answered(want.deployments[i], live)
			log.FromContext(ctx).Info("it is not known whether a Deployment was changed: the API server refuses a dry run",
				"object", live.Name, "reason", apiMessage(err))
		}
	}
}

// unstructured returns a copy of the object, for one request: the client reads the answer
// into what it sent, and what a pair wants is kept for the next time. Sent again, an answer
// would be refused for its resource version.
func (o Object) unstructured() (*unstructured.Unstructured, error) {
	text, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Key(), err)
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &object.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	return object, nil
}

// ownByApply makes the fields that came with a create the operator's by apply. Otherwise
// the create would own them for ever, and a field that is no longer applied would stay.
func (r *StreamPairReconciler) ownByApply(ctx context.Context, pair *v1alpha1.StreamPair, key ObjectKey, uid types.UID) error {
	there, err := r.metadataOf(ctx, pair, key)
	if err != nil {
		return err
	}
	if there.UID != uid {
		return apierrors.NewConflict(schema.GroupResource{Resource: key.Kind}, key.Name, errors.New("the object was replaced meanwhile"))
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(there, sets.New(FieldOwner), FieldOwner)
	if err != nil || patch == nil {
		return err
	}
	return r.Client.Patch(ctx, there, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldOwner))
}

// metadataOf asks the API server itself, and for no more than the metadata.
func (r *StreamPairReconciler) metadataOf(ctx context.Context, pair *v1alpha1.StreamPair, key ObjectKey) (*metav1.PartialObjectMetadata, error) {
	kinds, _, err := r.Client.Scheme().ObjectKinds(newObject(key.Kind))
	if err != nil {
		return nil, err
	}
	there := &metav1.PartialObjectMetadata{}
	there.SetGroupVersionKind(kinds[0])
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: key.Name}, there)
	return there, err
}

// push tells the pods what is new to them, all at once.
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
			if one.Peers != nil { // the first, because a relay may wait for it
				answers[i].peers = r.Pods.PutPeers(ctx, one.Pod, *one.Peers)
			}
			if one.Manifest != nil {
				answers[i].config = r.Pods.PutConfig(ctx, one.Pod, one.Manifest)
			}
			if answers[i].config == nil && one.TellAddresses {
				answers[i].addresses = r.Pods.PutAddresses(ctx, one.Pod, one.Addresses)
			}
		})
	}
	all.Wait()
	// A pod that is not connected hints when it is, and is told then.
	for i, one := range pushes {
		switch err := answers[i].config; {
		case err == nil:
			outcome.Accepted[one.Pod] = one.Manifest != nil
		case !errors.Is(err, ErrPodNotConnected):
			outcome.PushErrors[one.Pod] = err.Error()
			outcome.Recheck = earliest(outcome.Recheck, pushRetry)
		}
		if err := answers[i].peers; err != nil && !errors.Is(err, ErrPodNotConnected) {
			outcome.PushErrors[one.Pod] = err.Error()
			outcome.Recheck = earliest(outcome.Recheck, pushRetry)
		}
		if err := answers[i].addresses; err != nil && !errors.Is(err, ErrPodNotConnected) {
			outcome.AddressErrors[one.Pod] = err.Error()
			outcome.Recheck = earliest(outcome.Recheck, pushRetry)
		}
	}
}

// report writes the status if it changed, then records what happened as Events and counts
// it. An Event before the status would be recorded again if the status could not be written.
func (r *StreamPairReconciler) report(ctx context.Context, pair *v1alpha1.StreamPair, status *v1alpha1.StreamPairStatus) error {
	last, before := r.reported.last(pair), r.reported.before(pair)
	// To the recorder, Events of one reason about one version of an object are repetitions,
	// whose notes it drops; and the cache may long be behind.
	regarding := pair.DeepCopy()
	if !sameStatus(last, status) {
		version, err := r.writeStatus(ctx, pair, status)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("write the status: %w", err)
		}
		r.reported.wrote(pair, status, version)
		regarding.ResourceVersion = version
	}
	r.reported.remember(client.ObjectKeyFromObject(pair), before, status)
	for _, event := range edges(before, status) {
		log.FromContext(ctx).Info("pair changed", "event", event.Reason, "note", event.Note)
		r.Recorder.Eventf(regarding, nil, event.Type, event.Reason, event.Action, "%s", event.Note)
	}
	r.Metrics.Observe(client.ObjectKeyFromObject(pair), last, status)
	return nil
}

// reportBlindness says that the pair could not be looked at, once that has lasted or will not
// pass by itself. The rest of the status stands: nobody knows better.
func (r *StreamPairReconciler) reportBlindness(ctx context.Context, pair *v1alpha1.StreamPair, err error, now time.Time) error {
	since := r.reported.blindSince(pair, now)
	if !apierrors.IsForbidden(err) && now.Sub(since) < UnreachableAfter {
		return nil
	}
	status := blindStatus(pair, r.reported.last(pair), err, now)
	if status == nil {
		return nil
	}
	return r.report(ctx, pair, status)
}

// writeStatus applies the whole status: a field left out is given up, and goes.
func (r *StreamPairReconciler) writeStatus(ctx context.Context, pair *v1alpha1.StreamPair, status *v1alpha1.StreamPairStatus) (string, error) {
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return "", err
	}
	for {
		object := &unstructured.Unstructured{Object: map[string]any{"status": runtime.DeepCopyJSON(tree)}}
		r.statusFields.leaveOut(object.Object, r.Now())
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
		object.SetName(pair.Name)
		object.SetNamespace(pair.Namespace)
		object.SetUID(pair.UID) // not to the pair that took its place
		err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(FieldOwner), client.ForceOwnership)
		if meta.IsNoMatchError(err) {
			return "", fmt.Errorf("the StreamPair API is not installed: %w", err)
		}
		if err == nil {
			return object.GetResourceVersion(), nil
		}
		learned, missing := r.statusFields.learn(err, r.Now())
		if !learned {
			return "", err
		}
		if len(missing) == 0 {
			continue
		}
		advice := outdated(missing)
		log.FromContext(ctx).Info(advice)
		r.Metrics.MissingStatusFields(missing)
		r.Recorder.Eventf(pair, nil, corev1.EventTypeWarning, v1alpha1.EventDefinitionOutdated, actionReport, "%s", advice)
	}
}
