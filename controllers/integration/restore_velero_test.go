package integration_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

// Velero restores by kind: secrets, config maps, service accounts, pods, replica
// sets and services. The other kinds follow by name, so the pair comes last.
func TestANamespaceIsRestoredInTheOrderOfVelero(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Exposure.HTTP.Type = v1alpha1.ExposureNodePort })
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	eventually.True(w.t, "pods", func() bool { return len(w.pods()) == 2 })
	pair, backup, pods := w.pair("sunday"), w.everything(), w.pods()
	sets := &appsv1.ReplicaSetList{}
	w.must(w.admin.List(t.Context(), sets, client.InNamespace(w.namespace)))
	w.must(w.admin.Delete(t.Context(), pair))
	eventually.True(w.t, "everything gone", func() bool { return len(w.everything()) == 0 && len(w.pods()) == 0 })

	makeAll := func(kinds ...string) {
		for _, kind := range kinds {
			for name, o := range backup {
				if strings.HasPrefix(name, kind+"/") {
					w.must(w.admin.Create(t.Context(), kubetest.Restored(o), client.FieldOwner("velero-server")))
				}
			}
		}
	}
	makeAll("ServiceAccount", "Secret", "ConfigMap")
	for i := range pods {
		w.must(w.admin.Create(t.Context(), kubetest.Restored(&pods[i]), client.FieldOwner("velero-server")))
	}
	for i := range sets.Items {
		w.must(w.admin.Create(t.Context(), kubetest.Restored(&sets.Items[i]), client.FieldOwner("velero-server")))
	}
	makeAll("Service", "Deployment", "NetworkPolicy", "PodDisruptionBudget")
	again := kubetest.Restored(pair).(*v1alpha1.StreamPair)
	w.must(w.admin.Create(t.Context(), again, client.FieldOwner("velero-server")))
	took := eventually.True(w.t, "all objects the new pair's, and applied", func() bool { return w.allOwned(again) && w.allApplied() })
	t.Logf("adopted after %v", took)
	w.waitUntilQuiet()
	after := w.everything()
	if diff := cmp.Diff(backup["Secret/sunday-keys"].(*corev1.Secret).Data, after["Secret/sunday-keys"].(*corev1.Secret).Data); diff != "" {
		t.Error("the keys changed")
	}
	if was, is := backup["Service/sunday-play"].(*corev1.Service).Spec.Ports[0].NodePort, after["Service/sunday-play"].(*corev1.Service).Spec.Ports[0].NodePort; was != is {
		t.Errorf("node port %d, was %d", is, was)
	}
	for name, o := range after {
		if o.GetLabels()["velero.io/restore-name"] == "" {
			t.Errorf("%s lost the label of the restore", name)
		}
	}
	if now := w.pods(); len(now) != 2 {
		t.Errorf("%d pods, want those two that were restored", len(now))
	}
	w.wantAdoptions(after)
}

// pods returns the pods of the namespace.
func (w *world) pods() []corev1.Pod {
	w.t.Helper()
	list := &corev1.PodList{}
	w.must(w.admin.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	return list.Items
}
