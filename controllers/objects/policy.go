package objects

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// serviceAccount returns the media pods' identity. It has no rights and no token.
func serviceAccount(pair *v1alpha1.StreamPair) Object {
	account := corev1ac.ServiceAccount(ServiceAccountName(pair.Name), pair.Namespace).
		WithAutomountServiceAccountToken(false)
	return New(pair, KindServiceAccount, account, account.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// podDisruptionBudget lets one leg at a time be evicted. A pod that is not ready serves
// nobody and must not delay the drain of a node. A paused pair has no pods. It must ask
// for none, or the budget would never be met and alerts would fire until the pair resumes.
func podDisruptionBudget(pair *v1alpha1.StreamPair) Object {
	available := int32(1)
	if pair.Spec.Paused {
		available = 0
	}
	budget := policyv1ac.PodDisruptionBudget(pair.Name, pair.Namespace).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMinAvailable(intstr.FromInt32(available)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name))))
	return New(pair, KindPodDisruptionBudget, budget, budget.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}
