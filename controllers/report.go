package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/status"
)

// report writes the status if it changed, then records what happened as Events and counts
// it. The status comes first: if it could not be written, an Event would be recorded again.
func (r *StreamPairReconciler) report(ctx context.Context, pair *v1alpha1.StreamPair, m *memory, reported *v1alpha1.StreamPairStatus) error {
	last, before := m.last(pair), m.before(pair)
	// The recorder takes Events with one reason about one version of
	// an object for repetitions, and drops their notes. The version
	// in the cache may be long outdated, so the written one is used.
	regarding := pair.DeepCopy()
	if !sameStatus(last, reported) {
		version, err := r.writeStatus(ctx, pair, reported)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("write the status: %w", err)
		}
		m.written, m.version = reported, version
		regarding.ResourceVersion = version
	}
	if r.Notifications != nil {
		r.Notifications.Follow(pair, reported)
	}
	m.knownStates = knownStatesOf(before, reported)
	for _, event := range status.Edges(before, reported) {
		log.FromContext(ctx).Info("pair changed", "event", event.Reason, "note", event.Note)
		r.Recorder.Eventf(regarding, nil, event.Type, event.Reason, event.Action, "%s", event.Note)
	}
	r.Metrics.Observe(client.ObjectKeyFromObject(pair), reported, status.Switched(last, reported))
	return nil
}

// reportUnreadable reports that the pair's objects cannot be read. It waits until
// that has lasted for pods.UnreachableAfter, except for a missing right, which
// needs a person. The rest of the status stays, since nobody knows better.
func (r *StreamPairReconciler) reportUnreadable(ctx context.Context, pair *v1alpha1.StreamPair, m *memory, err error, now time.Time) error {
	since := m.noteUnreadable(now)
	if !apierrors.IsForbidden(err) && now.Sub(since) < pods.UnreachableAfter {
		return nil
	}
	status := status.Unreadable(pair, m.last(pair), err, now)
	if status == nil {
		return nil
	}
	return r.report(ctx, pair, m, status)
}

// writeStatus applies the whole status. The server removes
// a field that was applied before and is left out now.
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
		object.SetUID(pair.UID) // a new pair of the same name must not get this status
		err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(objects.FieldOwner), client.ForceOwnership)
		if meta.IsNoMatchError(err) {
			return "", fmt.Errorf("the StreamPair API is not installed: %w", err)
		}
		if err == nil {
			return object.GetResourceVersion(), nil
		}
		learned, missing := r.statusFields.noteUnknown(err, r.Now())
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

// progressOf returns what tells how far the receivers of a pair's events are; nil: nothing is sent.
func (r *StreamPairReconciler) progressOf(pair *v1alpha1.StreamPair) func(string) v1alpha1.NotificationStatus {
	if r.Notifications == nil {
		return nil
	}
	return func(receiver string) v1alpha1.NotificationStatus { return r.Notifications.Progress(pair, receiver) }
}
