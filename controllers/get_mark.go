package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/ownership"
)

// marks are what this operator knows of the marks by which
// operators claim pairs. The zero value is ready for use.
type marks struct {
	others ownership.Others

	mu sync.Mutex
	// undeclared is when the definition of StreamPair
	// was last found to lack the mark. Guarded by mu.
	undeclared time.Time
}

// lacksMark reports whether the definition of StreamPair is known to lack the mark.
func (m *marks) lacksMark(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.undeclared.IsZero() && now.Sub(m.undeclared) < definitionRecheck
}

func (m *marks) noteLackOfMark(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.undeclared = now
}

// serves reports whether this operator serves the pair, and marks a pair
// that has no mark. If another operator serves the pair, wait is when to
// look again. Package ownership describes how a mark is taken over.
func (r *StreamPairReconciler) serves(ctx context.Context, pair *v1alpha1.StreamPair, now time.Time) (mine bool, wait time.Duration, err error) {
	self := r.Settings.Operator
	if self == "" {
		return true, 0, nil
	}
	pair.Status.Operator = r.memories.of(pair).last(pair).Operator
	switch pair.Status.Operator {
	case self:
		if pair.Status.OperatorClaim != nil {
			if err = r.patchMark(ctx, pair, without("/status/operatorClaim")); apierrors.IsInvalid(err) {
				return false, firstRetry, nil // the claim is gone or the pair was taken over: the cache is behind
			}
			err, pair.Status.OperatorClaim = client.IgnoreNotFound(err), nil
		}
	case "":
		if err = r.mark(ctx, pair, now); apierrors.IsConflict(err) {
			return false, firstRetry, nil // another operator was faster, or the cache is behind
		}
	default:
		return r.handleForeignMark(ctx, pair, now)
	}
	if err == nil {
		r.nowServes(pair)
	}
	return err == nil, 0, err
}

// nowServes notes that this operator serves the pair.
func (r *StreamPairReconciler) nowServes(pair *v1alpha1.StreamPair) {
	name := client.ObjectKeyFromObject(pair)
	r.memories.of(pair).otherOperator = ""
	r.marks.others.Forget(name)
	r.Metrics.Foreign(name, "")
}

// mark marks a pair that has no mark as this operator's.
// An operator that did so in the meantime wins.
func (r *StreamPairReconciler) mark(ctx context.Context, pair *v1alpha1.StreamPair, now time.Time) error {
	if r.marks.lacksMark(now) {
		return nil
	}
	marked := pair.DeepCopy()
	marked.Status.Operator = r.Settings.Operator
	patch := client.MergeFromWithOptions(pair, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, marked, patch, client.FieldOwner(objects.FieldOwner)); err != nil {
		return client.IgnoreNotFound(err)
	}
	if marked.Status.Operator == "" {
		r.marks.noteLackOfMark(now) // the pair is served all the same, as earlier releases do
	}
	pair.ResourceVersion, pair.Status.Operator = marked.ResourceVersion, marked.Status.Operator
	return nil
}

// handleForeignMark handles a pair that another operator serves.
func (r *StreamPairReconciler) handleForeignMark(ctx context.Context, pair *v1alpha1.StreamPair, now time.Time) (mine bool, wait time.Duration, err error) {
	name, other, self := client.ObjectKeyFromObject(pair), pair.Status.Operator, r.Settings.Operator
	if r.memories.of(pair).otherOperator != other {
		r.forget(name)
		r.memories.of(pair).otherOperator = other
		note := fmt.Sprintf("The operator %s serves this pair. The operator %s leaves the pair alone while the other operator runs. "+
			"Give two releases different namespaces (--watch-namespaces).", other, self)
		log.FromContext(ctx).Info("pair served by another operator", "operator", other)
		r.Recorder.Eventf(pair, nil, corev1.EventTypeWarning, v1alpha1.EventOperatorConflict, actionReport, "%s", note)
		r.Metrics.Foreign(name, other)
	}
	wait = spread(pair, ownership.Recheck)
	switch r.marks.others.Decide(pair, self, now) {
	case ownership.Ask:
		err = r.patchMark(ctx, pair, add("/status/operatorClaim", v1alpha1.OperatorClaim{Operator: self, Time: metav1.NewTime(now)}))
		if err == nil {
			r.marks.others.HasAsked(pair, pair.ResourceVersion, now)
		}
	case ownership.TakeOver:
		operations := []operation{add("/status/operator", self)}
		if pair.Status.OperatorClaim != nil {
			operations = append(operations, without("/status/operatorClaim"))
		}
		if err = r.patchMark(ctx, pair, operations...); err != nil {
			break
		}
		note := fmt.Sprintf("The operator %s took the pair over from %s. That operator has not answered for %.0f seconds.", self, other, ownership.ClaimPatience.Seconds())
		log.FromContext(ctx).Info("pair taken over from another operator", "operator", other)
		r.Recorder.Eventf(pair, nil, corev1.EventTypeNormal, v1alpha1.EventOperatorChanged, actionReport, "%s", note)
		r.nowServes(pair)
		pair.Status.Operator, pair.Status.OperatorClaim = self, nil
		return true, 0, nil
	case ownership.LeaveAlone:
	}
	if apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		err = nil // the mark or the claim has changed since
	}
	return false, wait, err
}

// An operation is one operation of a JSON Patch, RFC 6902.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func add(path string, value any) operation { return operation{"add", path, value} }
func without(path string) operation        { return operation{"remove", path, nil} }

// patchMark changes the pair's mark or claim, if the pair and its mark are still
// as they were read. It sets pair's resource version to that of the answer.
func (r *StreamPairReconciler) patchMark(ctx context.Context, pair *v1alpha1.StreamPair, operations ...operation) error {
	patch, err := json.Marshal(append([]operation{
		{"test", "/metadata/uid", pair.UID}, {"test", "/status/operator", pair.Status.Operator},
	}, operations...))
	if err != nil {
		return err
	}
	answer := pair.DeepCopy()
	if err := r.Client.Status().Patch(ctx, answer, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(objects.FieldOwner)); err != nil {
		return err
	}
	pair.ResourceVersion = answer.ResourceVersion
	return nil
}

// markChanged selects changes of marks and claims that other
// operators made. No other change of the status starts a reconcile.
func (r *StreamPairReconciler) markChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, isPair := e.ObjectOld.(*v1alpha1.StreamPair)
		after, isPairToo := e.ObjectNew.(*v1alpha1.StreamPair)
		if !isPair || !isPairToo || r.Settings.Operator == "" {
			return false
		}
		if after.Status.Operator == r.Settings.Operator {
			return after.Status.OperatorClaim != nil
		}
		return after.Status.Operator != before.Status.Operator || (after.Status.OperatorClaim == nil) != (before.Status.OperatorClaim == nil)
	}}
}
