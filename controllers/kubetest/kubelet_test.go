package kubetest_test

import (
	"context"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

func TestAKubeletMakesPodsReadyAndLetsThemGo(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	admin, namespace := cluster.Client(t, nil), cluster.Namespace(t)
	var running atomic.Int32
	cluster.Kubelet(t, namespace, kubetest.KubeletConfig{
		Run: func(_ context.Context, pod *corev1.Pod) (string, func(), error) {
			addresses := map[int32]string{1: "10.244.0.1", 2: "10.244.0.2", 3: "10.244.0.3"}
			return addresses[running.Add(1)], func() { running.Add(-1) }, nil
		},
	})

	deployment := deploymentOf(namespace)
	create(t, admin, deployment)
	create(t, admin, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	})
	eventually.True(t, "two replicas available", func() bool {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment); err != nil {
			t.Fatal(err)
		}
		return deployment.Status.AvailableReplicas == 2
	})
	eventually.True(t, "two endpoints on two nodes", func() bool {
		var slices discoveryv1.EndpointSliceList
		list(t, admin, namespace, &slices)
		nodes := make(map[string]bool)
		for _, slice := range slices.Items {
			for _, endpoint := range slice.Endpoints {
				nodes[*endpoint.NodeName] = *endpoint.Conditions.Ready
			}
		}
		return len(nodes) == 2
	})

	if err := admin.Delete(t.Context(), deployment, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "no pods, and nothing running", func() bool {
		return len(list(t, admin, namespace, &corev1.PodList{})) == 0 &&
			len(list(t, admin, namespace, &appsv1.DeploymentList{})) == 0 && running.Load() == 0
	})
}
