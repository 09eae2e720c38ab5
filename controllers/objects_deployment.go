package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// A pod gets what its spec allows to drain, and then a little to end.
	graceBeyondDrainSeconds = 10
	// A rollout that has not come to an end this long after the old pod had to be gone is
	// reported as stuck.
	progressBeyondGraceSeconds = 180
	// Nobody rolls a leg back by hand: the operator would roll it forward again.
	revisionHistoryLimit = 2
)

// deployment is one leg: one pod. It is not a StatefulSet, which never replaces a pod on a
// lost node.
func deployment(pair *v1alpha1.StreamPair, role v1alpha1.Role, s ObjectSettings) Object {
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
	return owned(pair, KindDeployment, config, config.ObjectMetaApplyConfiguration, LegLabels(pair.Name, role))
}

// strategy tells the old pod to end before it starts the new one, and does not wait until it
// has ended: on a lost node that is never, and the leg would have no pod. Both may be there
// for a while, as after kubectl delete pod.
//
// With host ports it waits: while the old pod has the port of its node, the new one would go
// to the node of the other leg, and stay there.
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

// podTemplate has what replaces the pod when it changes, and nothing else. The manifest is
// not of it: a media server takes a new one while it runs, but for its stream ids.
func podTemplate(pair *v1alpha1.StreamPair, role v1alpha1.Role, s ObjectSettings) *corev1ac.PodTemplateSpecApplyConfiguration {
	template := corev1ac.PodTemplateSpec().
		WithLabels(LegLabels(pair.Name, role)).
		WithAnnotations(map[string]string{
			AnnotationStreams: streamsOf(pair),
		}).
		WithSpec(podSpec(pair, role, s))
	return template.WithAnnotations(map[string]string{AnnotationTemplateHash: templateHash(template)})
}

// streamsOf is the value of AnnotationStreams.
func streamsOf(pair *v1alpha1.StreamPair) string {
	return fmt.Sprintf("%[1]s/%[2]s %[1]s/%[3]s", pair.Spec.App, pair.Spec.Primary.StreamID, pair.Spec.Backup.StreamID)
}

// templateHash is of the template before it is annotated with it.
func templateHash(template *corev1ac.PodTemplateSpecApplyConfiguration) string {
	text, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("write a pod template: %v", err)) // strings, numbers and quantities
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// TemplateHash returns the hash that the pods of a leg carry when they are up to date;
// empty for anything but a Deployment.
func (o Object) TemplateHash() string {
	config, ok := o.Config.(*appsv1ac.DeploymentApplyConfiguration)
	if !ok {
		return ""
	}
	return config.Spec.Template.Annotations[AnnotationTemplateHash]
}
