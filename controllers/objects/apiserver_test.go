package objects_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/hack/eventually"
)

// The golden files show what is requested. Only an API server shows whether it accepts the
// objects. Only a namespace that enforces "restricted" shows whether it admits the pods.
func TestTheAPIServerTakesEveryObject(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	for name, pair := range objectstest.Pairs(t) {
		t.Run(name, func(t *testing.T) {
			hostPorts := pair.Spec.Exposure.WebRTC.Type == v1alpha1.ExposureHostPort
			if hostPorts {
				pair.Namespace = cluster.Namespace(t)
			} else {
				pair.Namespace = cluster.RestrictedNamespace(t)
			}
			pair = createPair(t, admin, pair)
			if class := pair.Spec.MediaServer.PriorityClassName; class != "" {
				createPriorityClass(t, admin, class)
			}
			pairKeys, err := keys.New(time.Now(), pair)
			if err != nil {
				t.Fatal(err)
			}
			build := func() []objects.Object {
				return append([]objects.Object{keys.Object(pair, pairKeys)}, objects.Of(pair, objectstest.Settings())...)
			}
			first := applyAll(t, admin, pair, build())
			// The objects are built again, because the client
			// has written its answers into the applied ones.
			all := build()
			for _, object := range all {
				object.SetUID(first[object.Key()].UID)
			}
			again := applyAll(t, admin, pair, all)
			for key, before := range first {
				// Controllers write the status of some objects.
				// Only changes of what the operator writes count.
				if after := again[key]; after.Generation != before.Generation || isOursAlone(key.Kind) && after.ResourceVersion != before.ResourceVersion {
					t.Errorf("%v was written again: version %s, then %s", key, before.ResourceVersion, after.ResourceVersion)
				}
			}
			want := 2
			if pair.Spec.Paused {
				want = 0
			}
			eventually.Seen(t, eventually.Patience, fmt.Sprintf("%d pods", want), func() (any, bool) {
				var pods corev1.PodList
				err := admin.List(t.Context(), &pods, client.InNamespace(pair.Namespace), client.MatchingLabels(objects.PairSelector(pair.Name)))
				if err == nil && len(pods.Items) != want {
					err = fmt.Errorf("%d pods", len(pods.Items))
				}
				return err, err == nil
			})
		})
	}
}

// Encoders and viewers have addresses configured. A Service is therefore
// changed, never replaced, and keeps its node ports as long as it has any.
func TestAChangedExposureKeepsTheServices(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	pair := objectstest.Pairs(t)["smallest"]
	pair.Namespace = cluster.Namespace(t)
	pair = createPair(t, admin, pair)

	balancer := func(class string, mixed bool) *v1alpha1.LoadBalancerExposure {
		return &v1alpha1.LoadBalancerExposure{
			Class: class, MixedProtocol: mixed,
			Annotations:  map[string]string{"example.com/class": class},
			SourceRanges: []string{"192.0.2.0/24"},
		}
	}
	uids := map[objects.Key]types.UID{}
	var nodePorts map[string]int32
	for _, step := range []struct {
		name     string
		exposure v1alpha1.ServiceExposure
		// nodePorts says that there are node ports, the
		// same as in the previous step if that had any.
		nodePorts bool
	}{
		{"inside only", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureClusterIP}, false},
		{"node ports", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort}, true},
		{"node ports once more", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort}, true},
		{"load balancer", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: balancer("example.com/a", true)}, true},
		{"load balancer without annotations", v1alpha1.ServiceExposure{
			Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{Class: "example.com/a", MixedProtocol: true},
		}, true},
		{"node ports again", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort}, true},
		{"another load balancer", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: balancer("example.com/b", true)}, true},
		{"inside only again", v1alpha1.ServiceExposure{Type: v1alpha1.ExposureClusterIP}, false},
	} {
		pair.Spec.Exposure.HTTP.ServiceExposure, pair.Spec.Exposure.RTMP = step.exposure, step.exposure
		pair.Spec.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: step.exposure.Type, LoadBalancer: step.exposure.LoadBalancer}
		var services []objects.Object
		for _, object := range objects.Of(pair, objectstest.Settings()) {
			if object.Kind == objects.KindService {
				services = append(services, object)
			}
		}
		applyAll(t, admin, pair, services)
		now := map[string]int32{}
		for _, object := range services {
			service := &corev1.Service{}
			if err := admin.Get(t.Context(), client.ObjectKey{Namespace: pair.Namespace, Name: object.Name}, service); err != nil {
				t.Fatal(err)
			}
			if before, known := uids[object.Key()]; known && before != service.UID {
				t.Errorf("%s: %s was replaced", step.name, object.Name)
			}
			uids[object.Key()] = service.UID
			if service.Spec.ClusterIP == corev1.ClusterIPNone {
				continue
			}
			if got := service.Spec.Type; got != corev1.ServiceType(step.exposure.Type) {
				t.Errorf("%s: %s is of type %s", step.name, object.Name, got)
			}
			wantClass, wantAnnotations := "", map[string]string(nil)
			if b := step.exposure.LoadBalancer; b != nil {
				wantClass, wantAnnotations = b.Class, b.Annotations
			}
			class := ""
			if service.Spec.LoadBalancerClass != nil {
				class = *service.Spec.LoadBalancerClass
			}
			if class != wantClass || !maps.Equal(service.Annotations, wantAnnotations) {
				t.Errorf("%s: %s has class %q and annotations %v", step.name, object.Name, class, service.Annotations)
			}
			for _, port := range service.Spec.Ports {
				if (port.NodePort != 0) != step.nodePorts {
					t.Errorf("%s: %s: node port %d of %s", step.name, object.Name, port.NodePort, port.Name)
				}
				now[object.Name+" "+port.Name] = port.NodePort
			}
		}
		if step.nodePorts && nodePorts != nil {
			if diff := cmp.Diff(nodePorts, now); diff != "" {
				t.Errorf("%s: node ports -before +now:\n%s", step.name, diff)
			}
		}
		nodePorts = nil
		if step.nodePorts {
			nodePorts = now
		}
	}
}

// Two Services for one protocol each replace a Service
// with both protocols, and the other way round.
func TestAServiceForEachProtocolComesAndGoes(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	pair := objectstest.Pairs(t)["smallest"]
	pair.Namespace = cluster.Namespace(t)
	pair = createPair(t, admin, pair)
	var uid types.UID
	var udp int32
	for _, step := range []struct {
		kind  v1alpha1.ExposureType
		ports []string // of the media Service
		extra []string // of the Service for TCP
	}{
		{v1alpha1.ExposureNodePort, []string{"webrtc-udp", "webrtc-tcp", "http"}, nil},
		{v1alpha1.ExposureLoadBalancer, []string{"webrtc-udp"}, []string{"webrtc-tcp", "http"}},
		{v1alpha1.ExposureNodePort, []string{"webrtc-udp", "webrtc-tcp", "http"}, nil},
		{v1alpha1.ExposureHostPort, []string{"webrtc-udp", "webrtc-tcp"}, nil},
		{v1alpha1.ExposureLoadBalancer, []string{"webrtc-udp"}, []string{"webrtc-tcp", "http"}},
		{v1alpha1.ExposureClusterIP, []string{"webrtc-udp", "webrtc-tcp"}, nil},
	} {
		pair.Spec.Exposure.HTTP.ServiceExposure = v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort}
		if step.kind == v1alpha1.ExposureLoadBalancer {
			pair.Spec.Exposure.HTTP.Type = step.kind
		}
		pair.Spec.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: step.kind}
		if step.kind == v1alpha1.ExposureHostPort {
			pair.Spec.Exposure.WebRTC.HostPorts = &v1alpha1.HostPorts{Primary: 8189, Backup: 8190}
		}
		// The Deployments are applied too, because their strategy depends on the type.
		applyAll(t, admin, pair, objects.Of(pair, objectstest.Settings()))
		got := map[string][]string{}
		for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp"} {
			service := &corev1.Service{}
			err := admin.Get(t.Context(), client.ObjectKey{Namespace: pair.Namespace, Name: name}, service)
			if err != nil {
				continue
			}
			for _, port := range service.Spec.Ports {
				got[name] = append(got[name], port.Name)
				if name != "sunday-primary-media" || port.Name != "webrtc-udp" {
					continue
				}
				if uid != "" && service.UID != uid || udp != 0 && port.NodePort != 0 && step.kind == v1alpha1.ExposureLoadBalancer && port.NodePort != udp {
					t.Errorf("%s: replaced, or another node port: %d and %d", step.kind, udp, port.NodePort)
				}
				uid, udp = service.UID, port.NodePort
			}
		}
		want := map[string][]string{"sunday-primary-media": step.ports, "sunday-primary-media-tcp": step.extra}
		if step.extra == nil {
			delete(want, "sunday-primary-media-tcp")
			for _, key := range objects.Obsolete(pair) {
				delete(got, key.Name) // the operator deletes it
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ports (-want +got):\n%s", step.kind, diff)
		}
	}
}

// createPair returns the pair as the API server stores it, with defaults and UID.
// Without the UID the garbage collector would delete all that refers to the pair.
func createPair(t *testing.T, admin client.Client, pair *v1alpha1.StreamPair) *v1alpha1.StreamPair {
	t.Helper()
	pair = pair.DeepCopy()
	pair.UID, pair.Generation = "", 0
	if err := admin.Create(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	return pair
}

// applyAll applies the objects and returns their metadata after that.
func applyAll(t *testing.T, admin client.Client, pair *v1alpha1.StreamPair, all []objects.Object) map[objects.Key]*metav1.PartialObjectMetadata {
	t.Helper()
	found := map[objects.Key]*metav1.PartialObjectMetadata{}
	for _, object := range all {
		if err := admin.Apply(t.Context(), object.Config, client.FieldOwner(objects.FieldOwner), client.ForceOwnership); err != nil {
			t.Fatalf("%v: %v", object.Key(), err)
		}
		metadata := &metav1.PartialObjectMetadata{TypeMeta: objectstest.Metadata(t, object).TypeMeta}
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: pair.Namespace, Name: object.Name}, metadata); err != nil {
			t.Fatal(err)
		}
		found[object.Key()] = metadata
	}
	return found
}

// isOursAlone reports whether no controller of Kubernetes writes to objects of this kind.
func isOursAlone(kind string) bool {
	return kind != objects.KindDeployment && kind != objects.KindPodDisruptionBudget
}

func createPriorityClass(t *testing.T, admin client.Client, name string) {
	t.Helper()
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: 1}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.Background(), class) })
}
