package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The test that `helm test` runs passes.
func TestHelmTest(t *testing.T) {
	s := here(t)
	render := binary(t, "render")
	hooks, err := exec.CommandContext(t.Context(), render, "-hooks", "-namespace", s.operator.Namespace,
		"-chart", filepath.Join(filepath.Dir(render), "../charts/streampair")).CombinedOutput()
	if err != nil {
		t.Fatalf("render the chart: %v\n%s", err, hooks)
	}
	pod := &corev1.Pod{}
	s.must(t, yaml.Unmarshal(hooks, pod))
	if pod.Name == "" || len(pod.Spec.Containers) != 1 {
		t.Fatalf("the hooks are not one pod:\n%s", hooks)
	}
	// The release in this cluster has the images that were built.
	operator := &appsv1.Deployment{}
	s.must(t, s.kube.Get(t.Context(), s.operator, operator))
	pod.Spec.Containers[0].Image = operator.Spec.Template.Spec.Containers[0].Image
	s.must(t, client.IgnoreNotFound(s.kube.Delete(t.Context(), pod.DeepCopy())))
	s.eventually(t, "the pod of the last time has gone", func() bool {
		return client.IgnoreAlreadyExists(s.kube.Create(t.Context(), pod)) == nil && pod.UID != ""
	})
	t.Cleanup(func() { _ = s.kube.Delete(context.Background(), pod) })
	s.eventually(t, "helm test's pod ends", func() bool {
		s.must(t, s.kube.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	})
	if pod.Status.Phase != corev1.PodSucceeded {
		out, _ := s.kubectl("logs", "-n", pod.Namespace, pod.Name)
		t.Errorf("helm test: %s\n%s", pod.Status.Phase, out)
	}
}
