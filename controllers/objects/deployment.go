package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// A pod gets the time that its spec allows for draining, and this much more to end.
	graceBeyondDrainSeconds = 10
	// A rollout that has not ended this long after the old pod's deadline is reported as stuck.
	progressBeyondGraceSeconds = 180
	// Nobody rolls a leg back by hand, because the operator would roll the leg forward again.
	revisionHistoryLimit = 2
)

// deployment returns the Deployment of one leg, which has one
// pod. A StatefulSet would never replace a pod on a lost node.
func deployment(pair *v1alpha1.StreamPair, role v1alpha1.Role, s Settings) Object {
	replicas := int32(1)
	if pair.Spec.Paused {
		replicas = 0
	}
	config := appsv1ac.Deployment(DeploymentName(pair.Name, role), pair.Namespace).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(replicas).
			WithRevisionHistoryLimit(revisionHistoryLimit).
			WithProgressDeadlineSeconds(graceSeconds(pair) + progressBeyondGraceSeconds).
			WithStrategy(strategy(pair)).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(LegSelector(pair.Name, role))).
			WithTemplate(podTemplate(pair, role, s)))
	object := New(pair, KindDeployment, config, config.ObjectMetaApplyConfiguration, LegLabels(pair.Name, role))
	_, chosen := pair.Spec.MediaServer.NodeSelector[corev1.LabelOSStable]
	object.defaultOS = !chosen
	return object
}

// strategy returns how the leg's pod is replaced. The new pod starts once the old one was
// told to end, and not only after it has ended. On a lost node the old pod never ends, and
// the leg would have no pod. For a while both pods may exist, as after kubectl delete pod.
//
// With host ports the new pod waits until the old one has ended. While the old pod has
// its node's port, the new pod would be placed on the other leg's node, and stay there.
func strategy(pair *v1alpha1.StreamPair) *appsv1ac.DeploymentStrategyApplyConfiguration {
	if pair.Spec.Exposure.WebRTC.Type == v1alpha1.ExposureHostPort {
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsv1ac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
			WithMaxSurge(intstr.FromInt32(0)).
			WithMaxUnavailable(intstr.FromInt32(1)))
}

func graceSeconds(pair *v1alpha1.StreamPair) int32 {
	return *pair.Spec.MediaServer.DrainTimeoutSeconds + graceBeyondDrainSeconds
}

// podTemplate returns the pod template. It contains only what must
// replace the pod when it changes. The manifest is not part of it: a
// running media server accepts a new manifest, except for its stream ids.
func podTemplate(pair *v1alpha1.StreamPair, role v1alpha1.Role, s Settings) *corev1ac.PodTemplateSpecApplyConfiguration {
	labels := withLabels(LegLabels(pair.Name, role), s.CommonLabels)
	template := corev1ac.PodTemplateSpec().
		WithLabels(withLabels(labels, pair.Spec.MediaServer.PodLabels)).
		WithAnnotations(pair.Spec.MediaServer.PodAnnotations.Map()).
		WithAnnotations(map[string]string{
			AnnotationStreams: StreamsOf(pair),
		}).
		WithSpec(podSpec(pair, role, s))
	template.WithAnnotations(map[string]string{AnnotationTemplateHash: templateHash(template)})
	if _, chosen := pair.Spec.MediaServer.NodeSelector[corev1.LabelOSStable]; !chosen {
		// This comes after the hash, which must stay the
		// same as in earlier releases; see defaultOS.
		template.Spec.WithNodeSelector(map[string]string{corev1.LabelOSStable: "linux"})
	}
	return template
}

// StreamsOf returns the value of AnnotationStreams.
func StreamsOf(pair *v1alpha1.StreamPair) string {
	return fmt.Sprintf("%[1]s/%[2]s %[1]s/%[3]s", pair.Spec.App, pair.Spec.Primary.StreamID, pair.Spec.Backup.StreamID)
}

// templateHash returns the hash of the template before the hash is added as an annotation.
func templateHash(template *corev1ac.PodTemplateSpecApplyConfiguration) string {
	text, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("write a pod template: %v", err)) // strings, numbers and quantities
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// TemplateHash returns the hash that the pods of an up-to-date
// leg carry. It is empty for other objects than Deployments.
func (o Object) TemplateHash() string {
	config, ok := o.Config.(*appsv1ac.DeploymentApplyConfiguration)
	if !ok {
		return ""
	}
	return config.Spec.Template.Annotations[AnnotationTemplateHash]
}
