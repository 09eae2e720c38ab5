package controllers

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// serviceAccount is the media pods' identity. It may do nothing, and has no token to do it
// with.
func serviceAccount(pair *v1alpha1.StreamPair) Object {
	account := corev1ac.ServiceAccount(pair.Name, pair.Namespace).
		WithAutomountServiceAccountToken(false)
	return owned(pair, KindServiceAccount, account, account.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// podDisruptionBudget lets one leg be evicted at a time. A pod that is not ready carries
// nobody's picture, and must not hold up the drain of a node.
func podDisruptionBudget(pair *v1alpha1.StreamPair) Object {
	budget := policyv1ac.PodDisruptionBudget(pair.Name, pair.Namespace).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMinAvailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name))))
	return owned(pair, KindPodDisruptionBudget, budget, budget.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// networkPolicy lets in encoders and viewers from anywhere, metrics to those who scrape
// them, commands from the operator only. The relay between the pods comes by the viewers'
// port. What the pods reach is not limited: STUN, TURN and DNS are anywhere.
func networkPolicy(pair *v1alpha1.StreamPair, s ObjectSettings) Object {
	anybody := networkingv1ac.NetworkPolicyIngressRule().WithPorts(
		policyPort(corev1.ProtocolTCP, PortRTMP),
		policyPort(corev1.ProtocolTCP, PortRTMPS),
		policyPort(corev1.ProtocolTCP, PortHTTP),
		policyPort(corev1.ProtocolTCP, PortHTTPS),
		policyPort(corev1.ProtocolTCP, PortWebRTC),
		policyPort(corev1.ProtocolUDP, PortWebRTC))
	metrics := networkingv1ac.NetworkPolicyIngressRule().
		WithPorts(policyPort(corev1.ProtocolTCP, PortProbe))
	for _, namespace := range s.MetricsNamespaces {
		metrics.WithFrom(networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(namespaceSelector(namespace)))
	}
	commands := networkingv1ac.NetworkPolicyIngressRule().
		WithPorts(policyPort(corev1.ProtocolTCP, PortControl))
	if s.OperatorNamespace != "" {
		commands.WithFrom(networkingv1ac.NetworkPolicyPeer().
			WithNamespaceSelector(namespaceSelector(s.OperatorNamespace)).
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(s.OperatorLabels)))
	}
	policy := networkingv1ac.NetworkPolicy(pair.Name, pair.Namespace).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(anybody, metrics, commands))
	return owned(pair, KindNetworkPolicy, policy, policy.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

func namespaceSelector(name string) *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(map[string]string{corev1.LabelMetadataName: name})
}

func policyPort(protocol corev1.Protocol, port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(port))
}
