package objects_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/observed/observedtest"
)

// An extra port would admit clients that the spec keeps out of the playback Service.
func TestMediaServicesHaveHTTPWhereViewersUseItAlone(t *testing.T) {
	balancer := func(b *v1alpha1.LoadBalancerExposure) v1alpha1.ServiceExposure {
		return v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: b}
	}
	internal := map[string]string{"example.com/scheme": "internal"}
	for _, test := range []struct {
		name   string
		http   v1alpha1.ServiceExposure
		webrtc v1alpha1.WebRTCExposure
		change func(*v1alpha1.StreamPairSpec)
		want   []string // of the primary's Service with TCP
	}{
		{name: "node ports", http: v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureNodePort}, want: []string{"webrtc-udp", "webrtc-tcp", "http"}},
		{name: "load balancers", http: balancer(nil),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{MixedProtocol: true}},
			want:   []string{"webrtc-udp", "webrtc-tcp", "http"}},
		{name: "load balancers of one kind, for the same networks",
			http: balancer(&v1alpha1.LoadBalancerExposure{Class: "example.com/a", Annotations: internal, SourceRanges: []string{"192.0.2.0/24", "198.51.100.0/24"}}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{
				Class: "example.com/a", Annotations: internal, SourceRanges: []string{"198.51.100.0/24", "192.0.2.0/24"}}},
			want: []string{"webrtc-tcp", "http"}},
		{name: "an internal load balancer, and a public one", http: balancer(&v1alpha1.LoadBalancerExposure{Annotations: internal}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "load balancers of two classes", http: balancer(&v1alpha1.LoadBalancerExposure{Class: "example.com/a"}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "for other networks", http: balancer(&v1alpha1.LoadBalancerExposure{SourceRanges: []string{"192.0.2.0/24"}}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "ports of private nodes, and a public load balancer", http: v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "the page comes by HTTPS", http: balancer(nil), webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer},
			change: func(s *v1alpha1.StreamPairSpec) { s.Playback.ExternalURL = "https://live.example.com" }, want: []string{"webrtc-tcp"}},
		{name: "viewers have another address of the leg",
			http:   v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort, ExternalAddresses: &v1alpha1.LegAddresses{Primary: []string{"a.example.com"}}},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureNodePort}, want: []string{"webrtc-udp", "webrtc-tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := observedtest.New(t, func(spec *v1alpha1.StreamPairSpec) {
				spec.Exposure.HTTP.ServiceExposure, spec.Exposure.WebRTC = test.http, test.webrtc
				if test.change != nil {
					test.change(spec)
				}
			})
			all := objects.Of(s.Pair, objectstest.Settings())
			name := objects.MediaServiceName(s.Pair.Name, v1alpha1.RolePrimary)
			if objects.SplitsMedia(s.Pair.Spec.Exposure.WebRTC) {
				name = objects.MediaTCPServiceName(s.Pair.Name, v1alpha1.RolePrimary)
			}
			var got []string
			for _, port := range objectstest.Typed[corev1.Service](t, objectstest.Find(t, all, objects.KindService, name)).Spec.Ports {
				got = append(got, port.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachLegHasPortsAndAnnotationsOfItsOwn(t *testing.T) {
	pair := observedtest.New(t, func(spec *v1alpha1.StreamPairSpec) {
		own := &v1alpha1.LegAnnotations{Primary: map[string]string{"a": "primary", "c": "1"}, Backup: map[string]string{"a": "backup"}}
		spec.Exposure.RTMP = v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{
			Annotations: map[string]string{"a": "both", "b": "both"}, LegAnnotations: own,
			LegPorts: &v1alpha1.LegPorts{Primary: 1935, Backup: 1945}, LegTLSPorts: &v1alpha1.LegPorts{Primary: 1936, Backup: 1946},
		}}
		spec.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer, IPFamilyPolicy: corev1.IPFamilyPolicyPreferDualStack, LoadBalancer: &v1alpha1.LoadBalancerExposure{
			LegAnnotations: own, LegPorts: &v1alpha1.LegPorts{Primary: 8189, Backup: 8190},
		}}
	}).Pair
	got := map[string]string{}
	for _, object := range objects.Of(pair, objectstest.Settings()) {
		if object.Kind != objects.KindService {
			continue
		}
		live := objectstest.Typed[corev1.Service](t, object)
		var text []string
		for _, key := range slices.Sorted(maps.Keys(live.Annotations)) {
			text = append(text, key+"="+live.Annotations[key])
		}
		if live.Spec.IPFamilyPolicy != nil {
			text = append(text, string(*live.Spec.IPFamilyPolicy))
		}
		for _, port := range live.Spec.Ports {
			text = append(text, fmt.Sprintf("%s:%d->%s", port.Name, port.Port, port.TargetPort.String()))
		}
		got[live.Name] = strings.Join(text, " ")
	}
	inside := "http:5080->5080 control:9091->9091 peer:9092->9092"
	if diff := cmp.Diff(map[string]string{
		"sunday-play":              "http:80->5080 https:443->5443 http-pod:5080->5080 https-pod:5443->5443",
		"sunday-primary-pods":      inside,
		"sunday-backup-pods":       inside,
		"sunday-primary-rtmp":      "a=primary b=both c=1 rtmp:1935->1935 rtmps:1936->1936",
		"sunday-backup-rtmp":       "a=backup b=both rtmp:1945->1935 rtmps:1946->1936",
		"sunday-primary-media":     "a=primary c=1 PreferDualStack webrtc-udp:8189->8189",
		"sunday-primary-media-tcp": "a=primary c=1 PreferDualStack webrtc-tcp:8189->8189",
		"sunday-backup-media":      "a=backup PreferDualStack webrtc-udp:8190->8189",
		"sunday-backup-media-tcp":  "a=backup PreferDualStack webrtc-tcp:8190->8189",
	}, got); diff != "" {
		t.Errorf("Services (-want +got):\n%s", diff)
	}
	// Media servers of earlier releases refuse fields that they do not know.
	if manifest := string(objects.Manifest(pair)); strings.Contains(manifest, "legP") || strings.Contains(manifest, "legT") || strings.Contains(manifest, "legAn") || strings.Contains(manifest, "ipFamilyPolicy") {
		t.Errorf("the manifest has what only the operator reads:\n%s", manifest)
	}
}
