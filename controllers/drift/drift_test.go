package drift

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

// deploymentOf returns the Deployment of a pair's
// primary, as it is applied and as it then exists.
func deploymentOf(t *testing.T, change func(*v1alpha1.StreamPairSpec)) (objects.Desired, *appsv1.Deployment) {
	t.Helper()
	pair := objectstest.Pairs(t)["smallest"]
	change(&pair.Spec)
	d := objects.NewDesired(objectstest.Find(t, objects.Of(pair, objectstest.Settings()), objects.KindDeployment, objects.DeploymentName(pair.Name, v1alpha1.RolePrimary)))
	return d, objectstest.Typed[appsv1.Deployment](t, d.Object)
}

// Media pods run on Linux. Pods of earlier releases do
// not say so, and must not be replaced for that alone.
func TestMediaPodsChooseLinuxWithoutAReplacement(t *testing.T) {
	d, live := deploymentOf(t, func(*v1alpha1.StreamPairSpec) {})
	selector := live.Spec.Template.Spec.NodeSelector
	if selector[corev1.LabelOSStable] != "linux" || len(selector) != 1 {
		t.Errorf("the node selector is %v", selector)
	}
	if Changes(d, live) {
		t.Error("what was just applied would be applied again")
	}
	before := live.DeepCopy()
	before.Spec.Template.Spec.NodeSelector = nil
	if Changes(d, before) || ChangesTemplate(d, before) {
		t.Error("the pods of the release before would be replaced")
	}
	for name, change := range map[string]func(*appsv1.Deployment){
		"another OS":       func(d *appsv1.Deployment) { d.Spec.Template.Spec.NodeSelector[corev1.LabelOSStable] = "windows" },
		"another selector": func(d *appsv1.Deployment) { d.Spec.Template.Spec.NodeSelector["a"] = "b" },
	} {
		changed := live.DeepCopy()
		change(changed)
		if !ChangesTemplate(d, changed) {
			t.Errorf("%s is not noticed", name)
		}
	}

	d, _ = deploymentOf(t, func(spec *v1alpha1.StreamPairSpec) {
		spec.MediaServer.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"}
	})
	if !Changes(d, before) {
		t.Error("a selector of the spec is not applied")
	}
	if _, live = deploymentOf(t, func(spec *v1alpha1.StreamPairSpec) {
		spec.MediaServer.NodeSelector = map[string]string{corev1.LabelOSStable: "other"}
	}); live.Spec.Template.Spec.NodeSelector[corev1.LabelOSStable] != "other" {
		t.Errorf("the spec's choice is lost: %v", live.Spec.Template.Spec.NodeSelector)
	}
}
