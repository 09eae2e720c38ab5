package objects

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// keptApart keeps the leg off the other leg's node as strictly as the spec asks,
// and out of the other leg's zone if possible. The rule is only about the other
// leg. A pod that replaces a draining pod of its own leg may run beside it.
func keptApart(spec *corev1ac.PodSpecApplyConfiguration, pair *v1alpha1.StreamPair, role v1alpha1.Role) *corev1ac.PodSpecApplyConfiguration {
	node := corev1ac.PodAffinityTerm().
		WithTopologyKey(corev1.LabelHostname).
		WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(LegSelector(pair.Name, OtherRole(role))))
	apart := corev1ac.PodAntiAffinity()
	switch pair.Spec.MediaServer.AntiAffinity {
	case v1alpha1.AntiAffinityNone:
		return spec
	case v1alpha1.AntiAffinityRequired:
		apart.WithRequiredDuringSchedulingIgnoredDuringExecution(node)
	default:
		apart.WithPreferredDuringSchedulingIgnoredDuringExecution(
			corev1ac.WeightedPodAffinityTerm().WithWeight(100).WithPodAffinityTerm(node))
	}
	return spec.
		WithAffinity(corev1ac.Affinity().WithPodAntiAffinity(apart)).
		WithTopologySpreadConstraints(corev1ac.TopologySpreadConstraint().
			WithMaxSkew(1).
			WithTopologyKey(corev1.LabelTopologyZone).
			WithWhenUnsatisfiable(corev1.ScheduleAnyway).
			WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name))))
}

// tolerations returns the spec's tolerations. It adds how long a pod stays on a node that does
// not answer, unless the spec says so. Of two tolerations for one taint the shorter would win.
func tolerations(m v1alpha1.MediaServer) []*corev1ac.TolerationApplyConfiguration {
	var all []*corev1ac.TolerationApplyConfiguration
	said := map[string]bool{}
	for _, t := range m.Tolerations {
		// A toleration of another effect does not say how long a pod stays.
		said[t.Key] = said[t.Key] || t.Effect == "" || t.Effect == corev1.TaintEffectNoExecute
		all = append(all, toleration(t))
	}
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if said[taint] {
			continue
		}
		all = append(all, corev1ac.Toleration().
			WithKey(taint).
			WithOperator(corev1.TolerationOpExists).
			WithEffect(corev1.TaintEffectNoExecute).
			WithTolerationSeconds(int64(*m.NodeLossTolerationSeconds)))
	}
	return all
}

func toleration(t corev1.Toleration) *corev1ac.TolerationApplyConfiguration {
	config := corev1ac.Toleration()
	if t.Key != "" {
		config.WithKey(t.Key)
	}
	if t.Operator != "" {
		config.WithOperator(t.Operator)
	}
	if t.Value != "" {
		config.WithValue(t.Value)
	}
	if t.Effect != "" {
		config.WithEffect(t.Effect)
	}
	if t.TolerationSeconds != nil {
		config.WithTolerationSeconds(*t.TolerationSeconds)
	}
	return config
}
