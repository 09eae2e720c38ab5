package main

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A leaseOwner makes the Lease go with the operator's Deployment. The leader election
// makes the Lease, so no chart removes it. The Lease has the name of the Deployment.
type leaseOwner struct {
	reader client.Reader // asks the API server
	writer client.Writer
	lease  client.ObjectKey
	labels map[string]string // of the operator's Deployment
	log    logr.Logger
}

// Start makes the Deployment the owner of the Lease, once. If that is not
// possible, the Lease stays when the operator is removed, which does no harm.
func (o *leaseOwner) Start(ctx context.Context) error {
	for {
		err := o.own(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
			return nil
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			o.log.V(1).Info("the lease stays when the operator is removed", "reason", err.Error())
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPeriod): // the lease was renewed in the meantime, or the API server is away
		}
	}
}

func (o *leaseOwner) own(ctx context.Context) error {
	deployment, lease := metadataOf("apps", "Deployment"), metadataOf("coordination.k8s.io", "Lease")
	if err := o.reader.Get(ctx, o.lease, deployment); err != nil {
		return err
	}
	for key, value := range o.labels {
		if deployment.Labels[key] != value {
			return nil // the Deployment is somebody else's
		}
	}
	if err := o.reader.Get(ctx, o.lease, lease); err != nil {
		return err
	}
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment.Name, UID: deployment.UID}
	owned := lease.DeepCopy()
	// A Deployment that was made again has another UID.
	owned.OwnerReferences = append(slices.DeleteFunc(owned.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.Kind == owner.Kind && r.Name == owner.Name
	}), owner)
	if slices.Equal(owned.OwnerReferences, lease.OwnerReferences) {
		return nil
	}
	return o.writer.Patch(ctx, owned, client.MergeFromWithOptions(lease, client.MergeFromWithOptimisticLock{}))
}

func metadataOf(group, kind string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	return m
}
