package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/streampair/streampair/controllers/objects"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// removeAddedPorts removes ports that somebody added to a Service, and returns
// what the server made of it. An apply leaves such ports, because others own
// them, and an added port opens a media pod to clients that the spec excludes.
// The wanted ports are written back unchanged, with their node ports. All else
// stays: cloud controllers keep finalizers and annotations there.
func (r *StreamPairReconciler) removeAddedPorts(ctx context.Context, o objects.Desired, answer client.Object) (client.Object, error) {
	service, isService := answer.(*corev1.Service)
	if !isService {
		return answer, nil
	}
	wanted := map[string]bool{}
	for _, port := range servicePorts(o) {
		wanted[portKey(port)] = true
	}
	stay := slices.DeleteFunc(slices.Clone(service.Spec.Ports), func(p corev1.ServicePort) bool { return !wanted[portKey(p)] })
	if len(stay) == len(service.Spec.Ports) {
		return answer, nil
	}
	patch, err := json.Marshal([]operation{
		{"test", "/metadata/uid", service.UID},
		{"test", "/spec/ports", service.Spec.Ports}, // they may have changed since
		{"replace", "/spec/ports", stay},
	})
	if err != nil {
		return nil, err
	}
	if err := r.Client.Patch(ctx, service, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(objects.FieldOwner)); err != nil {
		if apierrors.IsInvalid(err) {
			err = apierrors.NewConflict(corev1.Resource("services"), service.Name, errors.New("its ports changed meanwhile"))
		}
		return nil, err
	}
	log.FromContext(ctx).Info("ports removed that somebody added", "object", service.Name)
	return service, nil
}

// servicePorts returns the ports of a Service as they are applied.
func servicePorts(d objects.Desired) []corev1.ServicePort {
	tree, err := d.Unstructured()
	if err != nil {
		return nil
	}
	typed, err := objects.Typed(d.Kind, tree)
	if err != nil {
		return nil
	}
	service, _ := typed.(*corev1.Service)
	return service.Spec.Ports
}

// portKey returns the key by which server-side apply identifies a port.
func portKey(p corev1.ServicePort) string { return fmt.Sprintf("%s/%d", p.Protocol, p.Port) }
