package namespaces

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// A cluster may have thousands of nodes, each of many kilobytes.
func TestTheCacheKeepsLittleOfNodes(t *testing.T) {
	var ofNodes cache.ByObject
	for object, options := range CacheOptions(nil).ByObject {
		if _, ok := object.(*corev1.Node); ok {
			ofNodes = options
		}
	}
	if ofNodes.Transform == nil {
		t.Fatal("nodes are cached whole")
	}
	addresses := []corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "203.0.113.7"}}
	got, err := ofNodes.Transform(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "n1", UID: "1", ResourceVersion: "7",
			Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		Spec: corev1.NodeSpec{ProviderID: "cloud://n1"},
		Status: corev1.NodeStatus{
			Addresses: addresses,
			Images:    []corev1.ContainerImage{{Names: []string{"registry.example.com/large:1"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "1", ResourceVersion: "7"},
		Status:     corev1.NodeStatus{Addresses: addresses},
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The containers of 2,000 pairs would take tens of megabytes.
func TestTheCacheKeepsNoContainersOfPods(t *testing.T) {
	var ofPods cache.ByObject
	for object, options := range CacheOptions(nil).ByObject {
		if _, ok := object.(*corev1.Pod); ok {
			ofPods = options
		}
	}
	if ofPods.Transform == nil || ofPods.Label == nil {
		t.Fatal("pods are cached whole, or those of others too")
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p1", Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "media-server"}}},
		Status: corev1.PodStatus{PodIP: "192.0.2.1"},
	}
	got, err := ofPods.Transform(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	want := pod.DeepCopy()
	want.ManagedFields, want.Spec.Containers = nil, nil
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
