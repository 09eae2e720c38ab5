package controllers

import (
	"bytes"
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// specHashBefore is the hash that the operator of commit 897bbf3 noted for the smallest pair.
// A hash of another value would make the upgrade look like a change of the spec, which
// restarts the pods at once.
const specHashBefore = "b1eca94388d5b65b"

// upgraded is a scene whose Deployments and pods are those of the operator before.
func upgraded(t *testing.T, policy v1alpha1.UpdatePolicy) *scene {
	t.Helper()
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.UpdatePolicy = policy })
	text, err := os.ReadFile("testdata/upgrade/deployments.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for document := range bytes.SplitSeq(text, []byte("---\n")) {
		var before appsv1.Deployment
		if err := yaml.UnmarshalStrict(document, &before); err != nil {
			t.Fatal(err)
		}
		for _, role := range Roles() {
			if before.Name != DeploymentName(s.pair.Name, role) {
				continue
			}
			found++
			live := s.seen.Objects[ObjectKey{KindDeployment, before.Name}].(*appsv1.Deployment)
			live.Spec = before.Spec
			live.Annotations[AnnotationApplied], live.Annotations[AnnotationSpecHash] = "before", specHashBefore
			s.at(role).Annotations[AnnotationTemplateHash] = before.Spec.Template.Annotations[AnnotationTemplateHash]
		}
	}
	if found != 2 {
		t.Fatalf("%d Deployments", found)
	}
	return s
}

func replacedLegs(plan *Plan) []string {
	var names []string
	for _, write := range plan.Writes {
		if write.Object.Kind == KindDeployment {
			names = append(names, write.Object.Name)
		}
	}
	return names
}

func TestTheSpecHashIsThatOfTheOperatorBefore(t *testing.T) {
	pair := withDefaults(samplePairs(t)["smallest"])
	for _, egress := range []v1alpha1.EgressPolicy{"", v1alpha1.EgressUnrestricted, v1alpha1.EgressRestricted} {
		pair.Spec.MediaServer.Egress = egress
		if got := specHash(pair); got != specHashBefore {
			t.Errorf("egress %q: %s, want %s", egress, got, specHashBefore)
		}
	}
}

func TestAnUpgradeOfTheOperatorRestartsNoPodThatIsUsed(t *testing.T) {
	s := upgraded(t, v1alpha1.UpdateWhenIdle)
	s.seen.Turn = true
	plan := s.decide()
	if names := replacedLegs(plan); len(names) > 0 || !plan.Rollout.WaitsForIdle {
		t.Errorf("replaces %v, waits %v", names, plan.Rollout.WaitsForIdle)
	}
	status, _ := s.report()
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("not Ready: %v", meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady))
	}
}

func TestAnUpgradeOfTheOperatorWithAutoReplacesOneLegAtATime(t *testing.T) {
	s := upgraded(t, v1alpha1.UpdateAuto)
	s.seen.Turn = true
	if names := replacedLegs(s.decide()); !slices.Equal(names, []string{"sunday-backup"}) {
		t.Errorf("replaces %v, want the standby alone", names)
	}
}

func TestAnUpgradeOfTheOperatorReplacesThePodsOnceNobodyIsThere(t *testing.T) {
	s := upgraded(t, v1alpha1.UpdateWhenIdle)
	s.seen.Turn = true
	for _, role := range Roles() {
		s.lose(role, "Disconnected")
	}
	if names := replacedLegs(s.decide()); !slices.Equal(names, []string{"sunday-primary", "sunday-backup"}) {
		t.Errorf("replaces %v, want both", names)
	}
}
