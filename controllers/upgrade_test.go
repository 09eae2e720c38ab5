package controllers

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

// specHashBefore is the hash that the operator of commit 897bbf3
// noted for the smallest pair. With another hash, an upgrade would
// look like a change of the spec and restart the pods at once.
const specHashBefore = "b1eca94388d5b65b"

// upgraded returns a scene whose Deployments and pods are those of the previous operator.
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
		for _, role := range objects.Roles() {
			if before.Name != objects.DeploymentName(s.Pair.Name, role) {
				continue
			}
			found++
			live := s.Seen.Objects[objects.Key{Kind: objects.KindDeployment, Name: before.Name}].(*appsv1.Deployment)
			live.Spec = before.Spec
			live.Annotations[objects.AnnotationApplied], live.Annotations[objects.AnnotationSpecHash] = "before", specHashBefore
			s.At(role).Annotations[objects.AnnotationTemplateHash] = before.Spec.Template.Annotations[objects.AnnotationTemplateHash]
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
		if write.Object.Kind == objects.KindDeployment {
			names = append(names, write.Object.Name)
		}
	}
	return names
}

func TestTheSpecHashIsThatOfTheOperatorBefore(t *testing.T) {
	pair := objects.WithDefaults(objectstest.Pairs(t)["smallest"])
	for _, egress := range []v1alpha1.EgressPolicy{"", v1alpha1.EgressUnrestricted, v1alpha1.EgressRestricted} {
		pair.Spec.MediaServer.Egress = egress
		if got := objects.SpecHash(pair); got != specHashBefore {
			t.Errorf("egress %q: %s, want %s", egress, got, specHashBefore)
		}
	}
}

func TestAnUpgradeOfTheOperatorRestartsNoPodThatIsUsed(t *testing.T) {
	s := upgraded(t, v1alpha1.UpdateWhenIdle)
	s.Seen.Turn = true
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
	s.Seen.Turn = true
	if names := replacedLegs(s.decide()); !slices.Equal(names, []string{"sunday-backup"}) {
		t.Errorf("replaces %v, want the standby alone", names)
	}
}

func TestAnUpgradeOfTheOperatorReplacesThePodsOnceNobodyIsThere(t *testing.T) {
	s := upgraded(t, v1alpha1.UpdateWhenIdle)
	s.Seen.Turn = true
	for _, role := range objects.Roles() {
		s.Lose(role, "Disconnected")
	}
	if names := replacedLegs(s.decide()); !slices.Equal(names, []string{"sunday-primary", "sunday-backup"}) {
		t.Errorf("replaces %v, want both", names)
	}
}

func TestOnlyAnImageOfTheOperatorsReleaseIsProbedAtThePortForProbes(t *testing.T) {
	for _, tt := range []struct {
		name, version, defaultImage, podImage string
		want                                  string
	}{
		{"the default image of the release", "1.4.0", "registry.example.com/mediaserver:1.4.0", "", objects.PortNameHealth},
		{"a release named after a git tag", "v1.4.0", "registry.example.com/mediaserver:1.4.0", "", objects.PortNameHealth},
		{"the release with ffmpeg", "v1.4.0", "registry.example.com/mediaserver:1.4.0-ffmpeg", "", objects.PortNameHealth},
		{"a registry with a port", "1.4.0", "registry.example.com:5000/mediaserver:1.4.0", "", objects.PortNameHealth},
		{"a default image of another release", "1.4.0", "registry.example.com/mediaserver:1.3.0", "", objects.PortNameProbe},
		{"a tag that ends alike", "1.4.0", "registry.example.com/mediaserver:11.4.0", "", objects.PortNameProbe},
		{"a default image by its digest", "1.4.0", "registry.example.com/mediaserver@sha256:" + strings.Repeat("0", 64), "", objects.PortNameProbe},
		{"an operator without a version", "", "registry.example.com/mediaserver:", "", objects.PortNameProbe},
		{"an image of the pair's", "1.4.0", "registry.example.com/mediaserver:1.4.0", "registry.example.com/mine:1.4.0", objects.PortNameProbe},
		{"the default image, named by the pair", "1.4.0", "registry.example.com/mediaserver:1.4.0", "registry.example.com/mediaserver:1.4.0", objects.PortNameHealth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair := objectstest.Pairs(t)["smallest"]
			pair.Spec.MediaServer.Image = tt.podImage
			settings := objectstest.Settings()
			settings.Version, settings.DefaultImage = tt.version, tt.defaultImage
			for _, d := range objectstest.Deployments(t, objects.Of(pair, settings)) {
				c := d.Spec.Template.Spec.Containers[0]
				for name, got := range map[string]string{
					"startup": c.StartupProbe.HTTPGet.Port.String(), "liveness": c.LivenessProbe.HTTPGet.Port.String(), "readiness": c.ReadinessProbe.HTTPGet.Port.String(),
				} {
					if got != tt.want {
						t.Errorf("%s: the %s probe is of %s, want %s", d.Name, name, got, tt.want)
					}
				}
			}
		})
	}
}
