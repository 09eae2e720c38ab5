package controllers

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/drift"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// observeDryRuns handles Deployments that differ from what was applied to them. Applying
// would replace the pods, but a webhook may change the object back each time. So a dry
// run asks the server what an apply would make of the Deployment. If the server gives
// no answer, the annotation counts: the Deployment is taken for what was applied.
func (r *StreamPairReconciler) observeDryRuns(ctx context.Context, pair *v1alpha1.StreamPair, want *desired, seen *observed.Pair) {
	for i, role := range objects.Roles() {
		live := seen.Deployment(pair, role)
		if live == nil || !live.DeletionTimestamp.IsZero() || !objects.IsOwned(live, pair) {
			continue
		}
		if want.needsAdoptionDryRun(want.deployments[i], live) {
			r.observeAdoptionDryRun(ctx, want, want.deployments[i], live)
			continue
		}
		if !want.needsDryRun(want.deployments[i], live) {
			continue
		}
		answer, err := r.applyTo(ctx, want.deployments[i], live.UID, client.DryRunAll)
		switch {
		case err == nil && drift.ContentOf(answer) == drift.ContentOf(live):
			want.noteAnswer(want.deployments[i], answer)
		case err == nil:
			want.note(want.deployments[i].Key()).drifted = drift.ContentOf(live)
		case apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			want.noteAnswer(want.deployments[i], live)
			log.FromContext(ctx).Info("it is not known whether a Deployment was changed: the API server refuses a dry run",
				"object", live.Name, "reason", apiMessage(err))
		}
	}
}

// observeAdoptionDryRun asks the server whether the first apply to an
// adopted Deployment removes something from the pod template.
// Such an apply replaces the pods and has to wait for its turn.
func (r *StreamPairReconciler) observeAdoptionDryRun(ctx context.Context, want *desired, d objects.Desired, live *appsv1.Deployment) {
	answer, err := r.applyTo(ctx, d, live.UID, client.DryRunAll)
	if err != nil {
		log.FromContext(ctx).Info("it is not known whether the first apply to an adopted Deployment replaces its pods",
			"object", live.Name, "reason", apiMessage(err))
		return
	}
	if made, ok := answer.(*appsv1.Deployment); ok {
		want.noteAdoptionDryRun(d, live, made)
	}
}
