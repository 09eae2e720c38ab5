package controllers

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
	"github.com/streampair/streampair/controllers/kubetest"
)

// The golden files say what is asked for; only an API server says whether it may be, and
// only a namespace that enforces "restricted" whether its pods are let in.
func TestTheAPIServerTakesEveryObject(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	for name, pair := range samplePairs(t) {
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
			keys, err := NewKeys(time.Now(), pair)
			if err != nil {
				t.Fatal(err)
			}
			all := func() []Object {
				return append([]Object{KeysObject(pair, keys)}, Objects(pair, testSettings)...)
			}
			first := applyAll(t, admin, pair, all())
			// Built anew: the client has written its answer into those it applied.
			objects := all()
			for _, object := range objects {
				object.SetUID(first[object.Key()].UID)
			}
			again := applyAll(t, admin, pair, objects)
			for key, before := range first {
				// Controllers write their status beside us: only what is ours to change counts.
				if after := again[key]; after.Generation != before.Generation || isOursAlone(key.Kind) && after.ResourceVersion != before.ResourceVersion {
					t.Errorf("%v was written again: version %s, then %s", key, before.ResourceVersion, after.ResourceVersion)
				}
			}
			want := 2
			if pair.Spec.Paused {
				want = 0
			}
			eventually(t, fmt.Sprintf("%d pods", want), func(ctx context.Context) error {
				var pods corev1.PodList
				err := admin.List(ctx, &pods, client.InNamespace(pair.Namespace), client.MatchingLabels(PairSelector(pair.Name)))
				if err == nil && len(pods.Items) != want {
					err = fmt.Errorf("%d pods", len(pods.Items))
				}
				return err
			})
		})
	}
}

// Encoders and viewers have the addresses typed in: a Service is changed, never replaced,
// and keeps its node ports as long as it has any.
func TestAChangedExposureKeepsTheServices(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	pair := samplePairs(t)["smallest"]
	pair.Namespace = cluster.Namespace(t)
	pair = createPair(t, admin, pair)

	balancer := func(class string, mixed bool) *v1alpha1.LoadBalancerExposure {
		return &v1alpha1.LoadBalancerExposure{
			Class: class, MixedProtocol: mixed,
			Annotations:  map[string]string{"example.com/class": class},
			SourceRanges: []string{"192.0.2.0/24"},
		}
	}
	uids := map[ObjectKey]types.UID{}
	var nodePorts map[string]int32
	for _, step := range []struct {
		name     string
		exposure v1alpha1.ServiceExposure
		// Node ports are there, and as in the step before if that had any.
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
		var services []Object
		for _, object := range Objects(pair, testSettings) {
			if object.Kind == KindService {
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

// Load balancers of one protocol each take the place of a Service with both, and give it
// back.
func TestAServiceForEachProtocolComesAndGoes(t *testing.T) {
	cluster := kubetest.Start(t)
	admin := cluster.Client(t, nil)
	pair := samplePairs(t)["smallest"]
	pair.Namespace = cluster.Namespace(t)
	pair = createPair(t, admin, pair)
	var uid types.UID
	var udp int32
	for _, step := range []struct {
		kind  v1alpha1.ExposureType
		ports []string // of the media Service
		extra []string // of the one for TCP
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
		// The Deployments too: their strategy goes by the type.
		applyAll(t, admin, pair, Objects(pair, testSettings))
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
			for _, key := range Obsolete(pair) {
				delete(got, key.Name) // the operator deletes it
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ports (-want +got):\n%s", step.kind, diff)
		}
	}
}

// createPair returns the pair as the API server has it: its defaults, and the UID without
// which the garbage collector takes all that refers to it.
func createPair(t *testing.T, admin client.Client, pair *v1alpha1.StreamPair) *v1alpha1.StreamPair {
	t.Helper()
	pair = pair.DeepCopy()
	pair.UID, pair.Generation = "", 0
	if err := admin.Create(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	return pair
}

// applyAll applies the objects and returns their metadata as it is then.
func applyAll(t *testing.T, admin client.Client, pair *v1alpha1.StreamPair, objects []Object) map[ObjectKey]*metav1.PartialObjectMetadata {
	t.Helper()
	found := map[ObjectKey]*metav1.PartialObjectMetadata{}
	for _, object := range objects {
		if err := admin.Apply(t.Context(), object.Config, client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
			t.Fatalf("%v: %v", object.Key(), err)
		}
		metadata := &metav1.PartialObjectMetadata{TypeMeta: metadataOf(t, object).TypeMeta}
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: pair.Namespace, Name: object.Name}, metadata); err != nil {
			t.Fatal(err)
		}
		found[object.Key()] = metadata
	}
	return found
}

// isOursAlone reports whether no controller of Kubernetes writes to objects of the kind.
func isOursAlone(kind string) bool {
	return kind != KindDeployment && kind != KindPodDisruptionBudget
}

func createPriorityClass(t *testing.T, admin client.Client, name string) {
	t.Helper()
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: 1}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.Background(), class) })
}

// eventually waits for what controllers of Kubernetes do in their own time.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 30 s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
