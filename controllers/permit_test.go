package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestPermit(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type = v1alpha1.ExposureLoadBalancer
		s.Exposure.HTTP.LoadBalancer = &v1alpha1.LoadBalancerExposure{Class: "fast"}
		s.Exposure.RTMP.Type = v1alpha1.ExposureNodePort
		s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureHostPort, HostPorts: &v1alpha1.HostPorts{Primary: 1, Backup: 2}}
		s.MediaServer.Image = "mine:1"
	})
	got, refused := Settings{AllowedExposure: []v1alpha1.ExposureType{v1alpha1.ExposureNodePort}}.permit(s.pair)
	want := Refusals{Image: true, Exposure: []string{"spec.exposure.http.type LoadBalancer", "spec.exposure.webrtc.type HostPort"}}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if errs := got.Validate(); len(errs) > 0 {
		t.Errorf("what is permitted is not valid: %v", errs)
	}
	if e := got.Spec.Exposure; e.HTTP.Type != v1alpha1.ExposureClusterIP || e.RTMP.Type != v1alpha1.ExposureNodePort || e.WebRTC.Type != v1alpha1.ExposureClusterIP {
		t.Errorf("permitted %+v", e)
	}
	if s.pair.Spec.Exposure.HTTP.Type != v1alpha1.ExposureLoadBalancer {
		t.Error("the pair itself was changed")
	}
	if _, refused := (Settings{Objects: ObjectSettings{AllowPodImages: true}}).permit(s.pair); refused.Image || refused.Exposure != nil {
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
			s.objects.AllowPodImages = true
			s.settle()
			if got := written(s.decide()); len(got) > 0 {
				t.Fatalf("while it is allowed it writes %v", got)
			}
			s.objects.AllowPodImages = false
			s.pair, s.refused = Settings{AllowedExposure: []v1alpha1.ExposureType{}, Objects: s.objects}.permit(s.pair)
			plan := s.decide()
			if plan.Rollout.WaitsForIdle || !cmp.Equal(plan.Rollout.Held, []v1alpha1.Role{rolePrimary}) {
				t.Errorf("rollout %+v, want the standby at once", plan.Rollout)
			}
		})
	}
}
