package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

func TestAddressesThatAreNotKnownNowAreNotTakenBack(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type, s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureLoadBalancer
	})
	for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp"} {
		s.Balancer(name, corev1.LoadBalancerIngress{Hostname: "media.elb.example.com"}) // does not resolve
	}
	status := s.At(rolePrimary).State.Status
	status.Advertised = []string{"198.51.100.5:8189:8189"}
	status.BaseURLs = map[string]string{"Primary": "http://198.51.100.5", "Backup": "http://198.51.100.6"}
	s.Balancer("sunday-backup-media-tcp", corev1.LoadBalancerIngress{IP: "198.51.100.7"})
	want := control.MediaAddresses{
		WebRTC: status.Advertised, HTTP: map[string]string{"Primary": "http://media.elb.example.com", "Backup": "http://198.51.100.7"},
	}
	if diff := cmp.Diff(want, s.decide().Pushes[0].Addresses); diff != "" {
		t.Errorf("a name does not resolve: told -want +got:\n%s", diff)
	}
	for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp"} {
		s.Balancer(name)
	}
	want.HTTP["Primary"] = "http://198.51.100.5"
	if diff := cmp.Diff(want, s.decide().Pushes[0].Addresses); diff != "" {
		t.Errorf("a load balancer lost its address: told -want +got:\n%s", diff)
	}
}
