package integration_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// says waits until a condition of the pair, written
// "Type=Status/Reason", has the text in its message.
func (w *world) says(pair, condition, text string) {
	w.t.Helper()
	kind, _, _ := strings.Cut(condition, "=")
	w.waitFor(pair, condition)
	eventually.True(w.t, condition+": "+text, func() bool {
		p := w.pair(pair)
		c := meta.FindStatusCondition(p.Status.Conditions, kind)
		return slices.Contains(conditionsOf(p), condition) && strings.Contains(c.Message, text)
	})
}

// balance gives Services addresses, as a cloud's controller does.
func (w *world) balance(name string, ingress ...corev1.LoadBalancerIngress) {
	w.t.Helper()
	service := &corev1.Service{}
	eventually.True(w.t, "Service "+name, func() bool { return w.get(name, service) })
	before := service.DeepCopy()
	service.Status.LoadBalancer.Ingress = ingress
	w.must(w.admin.Status().Patch(w.t.Context(), service, client.MergeFrom(before)))
}

// On a cloud whose load balancers accept no UDP, the Services with UDP get no address.
func TestALoadBalancerWithoutUDP(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		balancer := v1alpha1.ExposureLoadBalancer
		s.Exposure.HTTP.Type, s.Exposure.RTMP.Type, s.Exposure.WebRTC.Type = balancer, balancer, balancer
	})
	address := func(ip string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{IP: ip} }
	w.says("sunday", "Exposed=False/AddressPending", "Service sunday-play has no address of its load balancer yet")
	w.balance("sunday-play", address("198.51.100.1"))
	w.balance("sunday-primary-rtmp", address("198.51.100.2"))
	w.balance("sunday-backup-rtmp", address("198.51.100.3"))
	w.balance("sunday-primary-media-tcp", address("198.51.100.4"), corev1.LoadBalancerIngress{Hostname: "sunday.invalid"})
	w.says("sunday", "Exposed=False/AddressPending", "If the load balancer takes each port once for all Services, set spec.exposure.webrtc.loadBalancer.legPorts.")
	w.balance("sunday-backup-media-tcp", address("198.51.100.5"))
	w.says("sunday", "Exposed=True/Exposed", "WebRTC media of the primary goes over TCP: Service sunday-primary-media has no address")
	w.says("sunday", "Ready=True/Ready", "WebRTC media of the backup goes over TCP")

	w.change("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.WebRTC.LoadBalancer = &v1alpha1.LoadBalancerExposure{
			LegPorts:       &v1alpha1.LegPorts{Primary: 8189, Backup: 8190},
			LegAnnotations: &v1alpha1.LegAnnotations{Backup: map[string]string{"example.com/name": "backup"}},
		}
	})
	service := &corev1.Service{}
	eventually.True(w.t, "the port and the annotation of the backup", func() bool {
		return w.get("sunday-backup-media", service) && service.Spec.Ports[0].Port == 8190 && service.Annotations["example.com/name"] == "backup"
	})
}

func TestMediaBehindAnExternalURL(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Playback.ExternalURL = "https://live.example.com" })
	w.says("sunday", "Exposed=True/MediaClusterOnly", "Viewers outside get no picture from there")
	w.says("sunday", "Ready=True/Ready", "WebRTC media of the primary and of the backup stays inside the cluster")
}

func TestLabelsAndAnnotationsOfUsers(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.settings.Objects.CommonLabels = v1alpha1.Labels{"example.com/cost": "7"}
	})
	w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.ObjectLabels = v1alpha1.Labels{"example.com/owner": "video"}
		s.MediaServer.PodLabels = v1alpha1.Labels{"sidecar.istio.io/inject": "false", "app": "checkout"}
		s.MediaServer.PodAnnotations = v1alpha1.Annotations{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
	})
	w.says("sunday", "Ready=False/PodMetadataNotAllowed", "The operator does not allow spec.mediaServer.podLabels app (--allowed-pod-metadata)")
	deployment := &appsv1.Deployment{}
	w.get("sunday-primary", deployment)
	labels := deployment.Spec.Template.Labels
	if labels["app"] != "" || labels["sidecar.istio.io/inject"] != "false" || labels["example.com/cost"] != "7" ||
		deployment.Spec.Template.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "false" {
		t.Errorf("pods have the labels %v and annotations %v", labels, deployment.Spec.Template.Annotations)
	}
	secret := &corev1.Secret{}
	w.get("sunday-keys", secret)
	token := string(secret.Data[v1alpha1.SecretKeyPublishToken])
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.ObjectLabels = v1alpha1.Labels{"example.com/owner": "audio"}
		delete(s.MediaServer.PodLabels, "app")
	})
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
	for name, object := range map[string]client.Object{
		"sunday-play": &corev1.Service{}, "sunday-keys": &corev1.Secret{}, "sunday-primary": &appsv1.Deployment{},
	} {
		eventually.True(w.t, name+" has the labels", func() bool {
			return w.get(name, object) && object.GetLabels()["example.com/owner"] == "audio" && object.GetLabels()["example.com/cost"] == "7"
		})
	}
	if w.get("sunday-keys", secret); string(secret.Data[v1alpha1.SecretKeyPublishToken]) != token {
		t.Error("a label changed the publish token")
	}
}
