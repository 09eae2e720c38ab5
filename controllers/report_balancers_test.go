package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/objects"
)

// balancedScene returns a scene whose surfaces are all behind load balancers.
// Each load balancer has an address, except those of the Services in without.
func balancedScene(t *testing.T, change func(*v1alpha1.StreamPairSpec), without ...string) *scene {
	t.Helper()
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
		for _, kind := range []*v1alpha1.ExposureType{&spec.Exposure.HTTP.Type, &spec.Exposure.RTMP.Type, &spec.Exposure.WebRTC.Type} {
			*kind = v1alpha1.ExposureLoadBalancer
		}
		if change != nil {
			change(spec)
		}
	})
	addresses := map[string]string{
		"sunday-play": "198.51.100.1", "sunday-primary-rtmp": "198.51.100.2", "sunday-backup-rtmp": "198.51.100.3",
		"sunday-primary-media": "198.51.100.4", "sunday-backup-media": "198.51.100.5",
	}
	if objects.SplitsMedia(s.Pair.Spec.Exposure.WebRTC) {
		addresses["sunday-primary-media-tcp"], addresses["sunday-backup-media-tcp"] = "198.51.100.6", "198.51.100.7"
	}
	for _, name := range without {
		delete(addresses, name)
	}
	for name, address := range addresses {
		s.Balancer(name, corev1.LoadBalancerIngress{IP: address})
	}
	return s
}

func TestLoadBalancersAsTheyAre(t *testing.T) {
	mixed := func(spec *v1alpha1.StreamPairSpec) {
		spec.Exposure.WebRTC.LoadBalancer = &v1alpha1.LoadBalancerExposure{MixedProtocol: true}
	}
	for _, tt := range []struct {
		name    string
		spec    func(*v1alpha1.StreamPairSpec)
		without []string
		change  func(*scene)
		ready   bool
		want    string // in the messages of Exposed and Ready
		primary []string
	}{
		{
			name: "all have an address", ready: true, want: "",
			primary: []string{"198.51.100.4:8189:8189", "198.51.100.6:8189:8189"},
		},
		{
			name: "a name beside the address that only others resolve", ready: true, want: "",
			change: func(s *scene) {
				s.Balancer("sunday-primary-media", corev1.LoadBalancerIngress{Hostname: "sunday.tail1234.example.net"}, corev1.LoadBalancerIngress{IP: "198.51.100.4"})
			},
			primary: []string{"198.51.100.4:8189:8189", "198.51.100.6:8189:8189"},
		},
		{
			name: "no UDP", without: []string{"sunday-primary-media", "sunday-backup-media"}, ready: true,
			want:    "WebRTC media of the primary goes over TCP: Service sunday-primary-media has no address of its load balancer yet",
			primary: []string{"198.51.100.6:8189:8189"},
		},
		{
			name: "no TCP", without: []string{"sunday-primary-media-tcp"}, ready: true,
			want:    "WebRTC media of the primary goes over UDP only: Service sunday-primary-media-tcp has no address",
			primary: []string{"198.51.100.4:8189:8189"},
		},
		{
			name: "a name for UDP that does not resolve", ready: true,
			change: func(s *scene) {
				s.Balancer("sunday-primary-media", corev1.LoadBalancerIngress{Hostname: "udp.example.net"})
			},
			want:    "WebRTC media of the primary goes over TCP: the name udp.example.net of the load balancer",
			primary: []string{"198.51.100.6:8189:8189"},
		},
		{
			name: "each port once: media", without: []string{"sunday-primary-media", "sunday-primary-media-tcp"},
			want: "set spec.exposure.webrtc.loadBalancer.legPorts.",
		},
		{
			name: "each port once: RTMP", without: []string{"sunday-primary-rtmp"},
			want:    "set spec.exposure.rtmp.loadBalancer.legPorts and legTLSPorts.",
			primary: []string{"198.51.100.4:8189:8189", "198.51.100.6:8189:8189"},
		},
		{
			name: "mixed protocols are not taken", spec: mixed, without: []string{"sunday-primary-media", "sunday-backup-media"},
			want: "set spec.exposure.webrtc.loadBalancer.mixedProtocol to false.",
		},
		{
			name: "ports of their own", ready: true,
			spec: func(spec *v1alpha1.StreamPairSpec) {
				spec.Exposure.WebRTC.LoadBalancer = &v1alpha1.LoadBalancerExposure{LegPorts: &v1alpha1.LegPorts{Primary: 40000, Backup: 40001}}
			},
			primary: []string{"198.51.100.4:40000:40000", "198.51.100.6:40000:40000"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := balancedScene(t, tt.spec, tt.without...)
			if tt.change != nil {
				tt.change(s)
			}
			status, _ := s.report()
			for _, name := range []string{v1alpha1.ConditionExposed, v1alpha1.ConditionReady} {
				c := meta.FindStatusCondition(status.Conditions, name)
				if (c.Status == metav1.ConditionTrue) != tt.ready || !strings.Contains(c.Message, tt.want) || tt.ready && tt.want == "" && strings.Contains(c.Message, "WebRTC") {
					t.Errorf("%s is %s/%s: %s", name, c.Status, c.Reason, c.Message)
				}
			}
			if diff := cmp.Diff(tt.primary, addresses.Of(s.Pair, s.Seen).WebRTC[v1alpha1.RolePrimary]); diff != "" {
				t.Errorf("media addresses (-want +got):\n%s", diff)
			}
		})
	}
}
