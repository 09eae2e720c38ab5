package objects

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Empty returns an empty object of one of the kinds of a pair's objects.
func Empty(kind string) client.Object {
	switch kind {
	case KindConfigMap:
		return &corev1.ConfigMap{}
	case KindDeployment:
		return &appsv1.Deployment{}
	case KindNetworkPolicy:
		return &networkingv1.NetworkPolicy{}
	case KindPodDisruptionBudget:
		return &policyv1.PodDisruptionBudget{}
	case KindSecret:
		return &corev1.Secret{}
	case KindService:
		return &corev1.Service{}
	case KindServiceAccount:
		return &corev1.ServiceAccount{}
	}
	panic("no such kind among a pair's objects: " + kind)
}

// Typed converts an object of a pair into the API's type.
func Typed(kind string, object *unstructured.Unstructured) (client.Object, error) {
	o := Empty(kind)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, o); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, object.GetName(), err)
	}
	return o, nil
}
