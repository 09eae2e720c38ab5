package namespaces

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// CacheOptions makes a manager watch only the objects of pairs, in the
// given namespaces, or in all if none are given. An object of others that
// has the name of a pair's object is only found when it is to be written.
func CacheOptions(namespaces []string) cache.Options {
	o := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{}}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range namespaces {
			o.DefaultNamespaces[n] = cache.Config{}
		}
	}
	labelled, err := labels.NewRequirement(v1alpha1.LabelPair, selection.Exists, nil)
	if err != nil { // the label is a constant
		panic(err)
	}
	ofPairs := cache.ByObject{Label: labels.NewSelector().Add(*labelled)}
	for _, object := range []client.Object{
		&appsv1.Deployment{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{},
		&policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{},
	} {
		o.ByObject[object] = ofPairs
	}
	// Of a pod the operator reads only metadata, node and status.
	pods := ofPairs
	pods.Transform = withoutContainers
	o.ByObject[&corev1.Pod{}] = pods
	// Of a node the operator reads only the addresses.
	// Node objects are large and change all the time.
	o.ByObject[&corev1.Node{}] = cache.ByObject{Transform: onlyAddresses}
	return o
}

// withoutContainers removes everything but the node from a pod's spec.
func withoutContainers(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.ManagedFields, pod.Spec = nil, corev1.PodSpec{NodeName: pod.Spec.NodeName}
	}
	return object, nil
}

// onlyAddresses removes everything from a node but its identity and its addresses.
func onlyAddresses(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}, nil
}

// ClientOptions makes a manager's client ask the API server for
// Secrets. A cache would have to list and watch everybody's Secrets.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}}
}
