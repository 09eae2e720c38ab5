package controllers

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/permit"
)

func TestPermit(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type = v1alpha1.ExposureLoadBalancer
		s.Exposure.HTTP.LoadBalancer = &v1alpha1.LoadBalancerExposure{Class: "fast"}
		s.Exposure.RTMP.Type = v1alpha1.ExposureNodePort
		s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureHostPort, HostPorts: &v1alpha1.HostPorts{Primary: 1, Backup: 2}}
		s.Exposure.SRT = &v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{Class: "fast"}}
		s.MediaServer.Image = "mine:1"
	})
	got, refused := Settings{AllowedExposure: []v1alpha1.ExposureType{v1alpha1.ExposureNodePort}}.rules().Apply(s.Pair)
	want := permit.Refusals{Image: true, Exposure: []string{
		"spec.exposure.http.type LoadBalancer", "spec.exposure.srt.type LoadBalancer", "spec.exposure.webrtc.type HostPort",
	}}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if errs := got.Validate(); len(errs) > 0 {
		t.Errorf("what is permitted is not valid: %v", errs)
	}
	if e := got.Spec.Exposure; e.HTTP.Type != v1alpha1.ExposureClusterIP || e.RTMP.Type != v1alpha1.ExposureNodePort || e.WebRTC.Type != v1alpha1.ExposureClusterIP {
		t.Errorf("permitted %+v", e)
	}
	if e := got.Spec.Exposure.SRT; e.Type != v1alpha1.ExposureClusterIP || e.LoadBalancer != nil {
		t.Errorf("permitted %+v for SRT", e)
	}
	if e := s.Pair.Spec.Exposure; e.HTTP.Type != v1alpha1.ExposureLoadBalancer || e.SRT.Type != v1alpha1.ExposureLoadBalancer {
		t.Error("the pair itself was changed")
	}
	if _, refused := (Settings{Objects: objects.Settings{AllowPodImages: true}}).rules().Apply(s.Pair); refused.Image || refused.Exposure != nil {
		t.Errorf("an operator that allows everything refuses %+v", refused)
	}
}

func TestARevokedPermissionIsRolledAtOnce(t *testing.T) {
	for name, spec := range map[string]func(*v1alpha1.StreamPairSpec){
		"image": func(s *v1alpha1.StreamPairSpec) { s.MediaServer.Image = "mine:1" },
		"host ports": func(s *v1alpha1.StreamPairSpec) {
			s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureHostPort, HostPorts: &v1alpha1.HostPorts{Primary: 8189, Backup: 8190}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, spec)
			s.Settings.AllowPodImages = true
			s.ApplyAll()
			if got := written(s.decide()); len(got) > 0 {
				t.Fatalf("while it is allowed it writes %v", got)
			}
			s.Settings.AllowPodImages = false
			s.Pair, s.refused = Settings{AllowedExposure: []v1alpha1.ExposureType{}, Objects: s.Settings}.rules().Apply(s.Pair)
			plan := s.decide()
			if plan.Rollout.WaitsForIdle || !cmp.Equal(plan.Rollout.MustWait, []v1alpha1.Role{rolePrimary}) {
				t.Errorf("rollout %+v, want the standby at once", plan.Rollout)
			}
		})
	}
}

func TestPodsGetTheMetadataThatTheOperatorAllows(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.MediaServer.PodLabels = v1alpha1.Labels{"sidecar.istio.io/inject": "false", "app": "checkout", "example.com/owner": "video"}
		s.MediaServer.PodAnnotations = v1alpha1.Annotations{"karpenter.sh/do-not-disrupt": "true", "sidecar.istio.io/inject": "true"}
	})
	got, refused := Settings{}.rules().Apply(s.Pair)
	want := permit.Refusals{PodMetadata: []string{
		"spec.mediaServer.podLabels app", "spec.mediaServer.podLabels example.com/owner", "spec.mediaServer.podAnnotations sidecar.istio.io/inject",
	}}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.Labels{"sidecar.istio.io/inject": "false"}, got.Spec.MediaServer.PodLabels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.Annotations{"karpenter.sh/do-not-disrupt": "true"}, got.Spec.MediaServer.PodAnnotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	s.Pair, s.refused = got, refused
	status, _ := s.report()
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonPodMetadataNotAllowed || !strings.Contains(ready.Message, "podLabels example.com/owner") {
		t.Errorf("Ready is %s/%s: %s", ready.Status, ready.Reason, ready.Message)
	}
	if _, refused := (Settings{AllowedPodMetadata: []permit.PodMetadata{}}).rules().Apply(got); len(refused.PodMetadata) != 2 {
		t.Errorf("an operator that allows nothing refuses %v", refused.PodMetadata)
	}
}

// Labels that users add must not change selectors.
func TestLabelsOfUsersReachTheObjects(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.ObjectLabels = v1alpha1.Labels{"example.com/owner": "video", "example.com/team": "pair"}
		s.MediaServer.PodLabels = v1alpha1.Labels{"sidecar.istio.io/inject": "false"}
		s.MediaServer.PodAnnotations = v1alpha1.Annotations{"linkerd.io/inject": "disabled"}
	})
	settings := Settings{Objects: objectstest.Settings()}
	settings.Objects.CommonLabels = v1alpha1.Labels{"example.com/cost": "7", "example.com/team": "operator"}
	pair, _ := settings.rules().Apply(s.Pair)
	pairKeys, err := keys.New(s.Now, pair)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := Settings{Objects: objectstest.Settings()}.rules().Apply(newScene(t, nil).Pair)
	selectors := map[objects.Key]any{}
	for _, object := range objects.Of(plain, objectstest.Settings()) {
		selectors[object.Key()] = selectorsOf(t, object)
	}
	for _, object := range append(objects.Of(pair, settings.Objects), keys.Object(pair, pairKeys)) {
		labels := objectstest.Metadata(t, object).Labels
		if labels["example.com/owner"] != "video" || labels["example.com/cost"] != "7" || labels["example.com/team"] != "operator" ||
			labels[v1alpha1.LabelPair] != pair.Name {
			t.Errorf("%v has the labels %v", object.Key(), labels)
		}
		if object.Kind == objects.KindSecret {
			continue
		}
		if diff := cmp.Diff(selectors[object.Key()], selectorsOf(t, object)); diff != "" {
			t.Errorf("%v: selectors (-want +got):\n%s", object.Key(), diff)
		}
		if deployment, ok := object.Config.(*appsv1ac.DeploymentApplyConfiguration); ok {
			template := deployment.Spec.Template
			if template.Labels["example.com/cost"] != "7" || template.Labels["example.com/owner"] != "" ||
				template.Labels["sidecar.istio.io/inject"] != "false" || template.Annotations["linkerd.io/inject"] != "disabled" {
				t.Errorf("%v: pods have the labels %v and annotations %v", object.Key(), template.Labels, template.Annotations)
			}
		}
	}
	if manifest := string(objects.Manifest(pair)); strings.Contains(manifest, "abels") || strings.Contains(manifest, "podAnnotations") {
		t.Errorf("the manifest has what media servers of the releases before refuse:\n%s", manifest)
	}
}

// selectorsOf returns everything in an object that selects pods.
func selectorsOf(t *testing.T, object objects.Object) any {
	t.Helper()
	tree, err := object.Unstructured()
	if err != nil {
		t.Fatal(err)
	}
	var found []any
	var look func(value any)
	look = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				if key == "selector" || key == "labelSelector" || key == "podSelector" {
					found = append(found, value[key])
				}
				look(value[key])
			}
		case []any:
			for _, one := range value {
				look(one)
			}
		}
	}
	look(tree.Object)
	return found
}
