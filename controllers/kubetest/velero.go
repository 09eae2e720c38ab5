package kubetest

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Restored returns an object as Velero restores it: without the fields that a cluster sets,
// with labels of the restore, and with the node ports that --preserve-nodeports keeps.
func Restored(o client.Object) client.Object {
	fresh := o.DeepCopyObject().(client.Object)
	fresh.SetUID("")
	fresh.SetResourceVersion("")
	fresh.SetGeneration(0)
	fresh.SetCreationTimestamp(metav1.Time{})
	fresh.SetOwnerReferences(nil)
	fresh.SetManagedFields(nil)
	labels := map[string]string{"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly-1"}
	maps.Copy(labels, fresh.GetLabels())
	fresh.SetLabels(labels)
	switch fresh := fresh.(type) {
	case *corev1.Service:
		if fresh.Spec.ClusterIP != corev1.ClusterIPNone {
			fresh.Spec.ClusterIP, fresh.Spec.ClusterIPs = "", nil
		}
		fresh.Spec.HealthCheckNodePort = 0
		fresh.Status = corev1.ServiceStatus{}
	case *appsv1.Deployment:
		fresh.Status = appsv1.DeploymentStatus{}
	case *appsv1.ReplicaSet:
		fresh.Status = appsv1.ReplicaSetStatus{}
	case *corev1.Pod:
		fresh.Status, fresh.Spec.NodeName = corev1.PodStatus{}, ""
	}
	return fresh
}
