package integration_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

var sundays = []string{
	"ConfigMap/sunday-config",
	"Deployment/sunday-backup", "Deployment/sunday-primary",
	"NetworkPolicy/sunday", "PodDisruptionBudget/sunday", "Secret/sunday-keys",
	"Service/sunday-backup-media", "Service/sunday-backup-pods", "Service/sunday-backup-rtmp",
	"Service/sunday-play",
	"Service/sunday-primary-media", "Service/sunday-primary-pods", "Service/sunday-primary-rtmp",
	"ServiceAccount/sunday",
}

func TestAPairGetsItsObjectsAndTheyGoWithIt(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	w.create("monday", nil)
	eventually.True(w.t, "all objects of both", func() bool {
		return len(w.owned("sunday")) == len(sundays) && len(w.owned("monday")) == len(sundays)
	})
	if diff := cmp.Diff(sundays, w.owned("sunday")); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	// All conditions exist from the first reconcile on, and are about this generation.
	pair := w.waitFor("sunday", "Ready=False/PodsNotReady", "OnAir=False/NoLiveStream",
		"PrimaryLive=False/PodNotReady", "BackupLive=False/PodNotReady", "Redundant=False/PrimaryNotLive",
		"Converged=Unknown/PodNotReady", "Exposed=True/ClusterOnly", "Progressing=True/RollingOut")
	for _, c := range pair.Status.Conditions {
		if c.ObservedGeneration != pair.Generation || c.Message == "" {
			t.Errorf("%s: generation %d, message %q", c.Type, c.ObservedGeneration, c.Message)
		}
	}
	want := "http://sunday-play." + w.namespace + ".svc:5080/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc%2Chls"
	if pair.Status.PlaybackURL != want {
		t.Errorf("playback URL %q, want %q", pair.Status.PlaybackURL, want)
	}

	w.must(w.admin.Delete(t.Context(), pair))
	took := eventually.True(w.t, "everything gone", func() bool { return len(w.owned("sunday")) == 0 })
	t.Logf("collected after %v", took)
	if n := len(w.owned("monday")); n != len(sundays) {
		t.Errorf("the other pair has %d objects left", n)
	}
}

func TestAReconcileThatChangesNothingWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
	w.waitUntilQuiet()
	versions, writes := w.versions("sunday"), len(w.cluster.Writes(t, w.operator))

	// A restarted operator reads everything again.
	w.stop()
	w.start()
	time.Sleep(2 * time.Second)
	w.touch("sunday")
	time.Sleep(time.Second)
	if diff := cmp.Diff(versions, w.versions("sunday")); diff != "" {
		t.Errorf("resource versions changed (-before +after):\n%s", diff)
	}
	if more := w.cluster.Writes(t, w.operator)[writes:]; len(more) > 0 {
		t.Errorf("the operator wrote %v", more)
	}
}

// waitUntilQuiet waits until the operator writes nothing more.
func (w *world) waitUntilQuiet() {
	w.t.Helper()
	last := -1
	eventually.True(w.t, "no more writes", func() bool {
		time.Sleep(700 * time.Millisecond)
		n := len(w.cluster.Writes(w.t, w.operator))
		defer func() { last = n }()
		return n == last
	})
}

// touch starts a reconcile of the pair, by changing an object as somebody else.
func (w *world) touch(pair string) {
	w.t.Helper()
	service := &corev1.Service{}
	w.get(pair+"-play", service)
	before := service.DeepCopy()
	metav1.SetMetaDataAnnotation(&service.ObjectMeta, "example.com/touched", time.Now().Format(time.RFC3339Nano))
	w.must(w.admin.Patch(w.t.Context(), service, client.MergeFrom(before)))
}

// versions returns the versions of the pair and its objects, except the object that touch writes.
// The version of a Deployment is its generation: Kubernetes writes the status of a Deployment
// whenever one of its pods gets ready.
func (w *world) versions(pair string) map[string]string {
	w.t.Helper()
	versions := map[string]string{"StreamPair": w.pair(pair).ResourceVersion}
	for name, object := range map[string]client.Object{
		pair + "-primary": &appsv1.Deployment{}, pair + "-backup": &appsv1.Deployment{},
		pair + "-config": &corev1.ConfigMap{}, pair + "-keys": &corev1.Secret{},
		pair + "-primary-media": &corev1.Service{}, pair + "-primary-rtmp": &corev1.Service{}, pair + "-primary-pods": &corev1.Service{},
	} {
		if !w.get(name, object) {
			w.t.Fatalf("no %s", name)
		}
		versions[name] = object.GetResourceVersion()
		if deployment, ok := object.(*appsv1.Deployment); ok {
			versions[name] = fmt.Sprint("generation ", deployment.Generation)
		}
	}
	return versions
}

func TestWhatOthersChangeIsPutRight(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
	w.waitUntilQuiet()
	w.must(client.IgnoreNotFound(w.admin.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "sunday-primary-rtmp"}})))
	deployment := &appsv1.Deployment{}
	w.get("sunday-backup", deployment)
	before := deployment.DeepCopy()
	none := int32(0)
	deployment.Spec.Replicas = &none
	deployment.Spec.Template.Spec.Containers[0].Args[0] = "--pair=/tmp/mine.yaml"
	w.must(w.admin.Patch(t.Context(), deployment, client.MergeFrom(before)))
	config := &corev1.ConfigMap{}
	w.get("sunday-config", config)
	manifest := config.Data[objects.ManifestKey]
	config.Data[objects.ManifestKey] = "nonsense"
	delete(config.Labels, v1alpha1.LabelPair) // and the operator no longer sees it
	w.must(w.admin.Update(t.Context(), config))

	eventually.True(w.t, "the Service back", func() bool { return w.get("sunday-primary-rtmp", &corev1.Service{}) })
	eventually.True(w.t, "the Deployment right", func() bool {
		w.get("sunday-backup", deployment)
		return *deployment.Spec.Replicas == 1 && deployment.Spec.Template.Spec.Containers[0].Args[0] == before.Spec.Template.Spec.Containers[0].Args[0]
	})
	eventually.True(w.t, "the ConfigMap right", func() bool {
		w.get("sunday-config", config)
		return config.Data[objects.ManifestKey] == manifest && config.Labels[v1alpha1.LabelPair] == "sunday"
	})
}

// A port that somebody adds is not the operator's, so an apply
// leaves it. Such a port admits clients that the spec keeps out.
func TestAnAddedPortGoes(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Exposure.RTMP.Type = v1alpha1.ExposureNodePort })
	w.waitFor("sunday", "Exposed=False/AddressPending")
	w.waitUntilQuiet()
	service := &corev1.Service{}
	w.get("sunday-primary-rtmp", service)
	ports := slices.Clone(service.Spec.Ports)

	// The changes are those of a user with kubectl and of a cloud's controller.
	changed := service.DeepCopy()
	changed.Spec.Ports = append(changed.Spec.Ports, corev1.ServicePort{Name: "ssh", Protocol: corev1.ProtocolTCP, Port: 22, TargetPort: intstr.FromInt32(9091)})
	changed.Finalizers = append(changed.Finalizers, "service.kubernetes.io/load-balancer-cleanup")
	changed.Annotations["example.com/cloud"] = "kept"
	w.must(w.admin.Patch(t.Context(), changed, client.MergeFrom(service), client.FieldOwner("somebody")))
	took := eventually.True(w.t, "the port is gone", func() bool {
		w.get("sunday-primary-rtmp", service)
		return len(service.Spec.Ports) == len(ports)
	})
	t.Logf("removed after %v", took.Round(time.Millisecond))
	if diff := cmp.Diff(ports, service.Spec.Ports); diff != "" {
		t.Errorf("ports and node ports (-want +got):\n%s", diff)
	}
	if service.Annotations["example.com/cloud"] != "kept" || !slices.Contains(service.Finalizers, "service.kubernetes.io/load-balancer-cleanup") {
		t.Errorf("annotations %v, finalizers %v", service.Annotations, service.Finalizers)
	}
	version := service.ResourceVersion
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.Select = v1alpha1.SelectBackup })
	eventually.True(w.t, "the change is seen", func() bool {
		p := w.pair("sunday")
		return p.Status.ObservedGeneration == p.Generation
	})
	if w.get("sunday-primary-rtmp", service); service.ResourceVersion != version {
		t.Error("the Service is written again")
	}
	service.Finalizers = nil
	w.must(w.admin.Update(t.Context(), service))
}

func TestAFieldThatIsNoLongerWantedGoes(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.RTMP = v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{
			Annotations: map[string]string{"example.com/balancer": "fast"}, SourceRanges: []string{"203.0.113.0/24"},
		}}
		s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer
	})
	w.waitFor("sunday", "Exposed=False/AddressPending", "Ready=False/PodsNotReady")
	eventually.True(w.t, "a Service for each protocol", func() bool { return w.get("sunday-primary-media-tcp", &corev1.Service{}) })
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.RTMP = v1alpha1.ServiceExposure{Type: v1alpha1.ExposureClusterIP}
		s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureClusterIP}
	})
	service := &corev1.Service{}
	eventually.True(w.t, "the Service plain", func() bool {
		w.get("sunday-primary-rtmp", service)
		return service.Spec.Type == corev1.ServiceTypeClusterIP && len(service.Spec.LoadBalancerSourceRanges) == 0 &&
			service.Annotations["example.com/balancer"] == ""
	})
	eventually.True(w.t, "the second Service gone", func() bool { return !w.get("sunday-primary-media-tcp", &corev1.Service{}) })
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
}

func TestAForeignObjectIsLeftAlone(t *testing.T) {
	for _, test := range []struct {
		name   string
		object client.Object
		labels map[string]string
	}{
		{"a Service", &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "sunday-play"},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}, nil},
		{"a Secret", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sunday-keys"}, Data: map[string][]byte{"mine": []byte("x")}}, nil},
		{"a ServiceAccount", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sunday"}}, nil},
		{"a ConfigMap with our labels", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sunday-config"}},
			objects.PairLabels("sunday")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.object.SetNamespace(w.namespace)
			test.object.SetLabels(test.labels)
			w.must(w.admin.Create(t.Context(), test.object))
			version := test.object.GetResourceVersion()
			w.create("sunday", nil)
			pair := w.waitFor("sunday", "Ready=False/NameConflict")
			t.Log(describe(pair))
			for _, name := range []string{"sunday-primary", "sunday-backup"} {
				if w.get(name, &appsv1.Deployment{}) {
					t.Errorf("%s was made, on what is not the pair's", name)
				}
			}
			w.get(test.object.GetName(), test.object)
			if test.object.GetResourceVersion() != version {
				t.Error("the object was written to")
			}
			w.must(w.admin.Delete(t.Context(), test.object))
			w.waitFor("sunday", "Ready=False/PodsNotReady")
			eventually.True(w.t, "the pair's own", func() bool { return slices.Equal(w.owned("sunday"), sundays) })
		})
	}
}

func TestKeysAreRenewed(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
	first := &corev1.Secret{}
	w.get("sunday-keys", first)

	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration = 1 })
	second := &corev1.Secret{}
	eventually.True(w.t, "another publish token", func() bool {
		w.get("sunday-keys", second)
		return !bytes.Equal(first.Data[v1alpha1.SecretKeyPublishToken], second.Data[v1alpha1.SecretKeyPublishToken])
	})
	for _, kept := range []string{v1alpha1.SecretKeyClusterToken, v1alpha1.SecretKeyControlCert, v1alpha1.SecretKeyControlKey} {
		if !bytes.Equal(first.Data[kept], second.Data[kept]) {
			t.Errorf("%s was renewed too: the pods would be out of reach", kept)
		}
	}

	w.must(w.admin.Delete(t.Context(), second))
	w.touch("sunday")
	third := &corev1.Secret{}
	eventually.True(w.t, "a new Secret", func() bool { return w.get("sunday-keys", third) && third.UID != second.UID })
	if bytes.Equal(second.Data[v1alpha1.SecretKeyPublishToken], third.Data[v1alpha1.SecretKeyPublishToken]) {
		t.Error("the token of the deleted Secret lives on")
	}
}

func TestAPairIsPausedAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Paused = true })
	w.waitFor("sunday", "Ready=True/Paused", "OnAir=False/Paused", "PrimaryLive=False/Paused", "Progressing=False/UpToDate")
	replicas := func(n int32) func() bool {
		return func() bool {
			var primary, backup appsv1.Deployment
			return w.get("sunday-primary", &primary) && w.get("sunday-backup", &backup) && *primary.Spec.Replicas == n && *backup.Spec.Replicas == n
		}
	}
	eventually.True(w.t, "no pods", replicas(0))
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Paused = false })
	eventually.True(w.t, "pods", replicas(1))
	w.waitFor("sunday", "Ready=False/PodsNotReady", "OnAir=False/NoLiveStream")
}

func TestWhatTheOperatorDoesNotAllowIsSaid(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.settings.AllowedExposure = []v1alpha1.ExposureType{v1alpha1.ExposureClusterIP}
	})
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Exposure.HTTP.Type = v1alpha1.ExposureNodePort })
	w.create("monday", func(s *v1alpha1.StreamPairSpec) { s.MediaServer.Image = "mine:1" })
	w.waitFor("sunday", "Exposed=False/ExposureNotAllowed")
	w.waitFor("monday", "Ready=False/ImageNotAllowed")
	service := &corev1.Service{}
	if w.get("sunday-play", service); service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("the Service is of type %s", service.Spec.Type)
	}
}

// Every object is created once and nothing is written twice. This holds although
// the cache lags behind the writes, and each new object starts a reconcile.
func TestNewPairsCostFewWrites(t *testing.T) {
	const pairs = 30
	w := newWorld(t)
	began := time.Now()
	for i := range pairs {
		w.create(fmt.Sprintf("pair%d", i), nil)
	}
	for i := range pairs {
		w.waitFor(fmt.Sprintf("pair%d", i), "Exposed=True/ClusterOnly")
	}
	t.Logf("%d pairs reported after %v", pairs, time.Since(began).Round(time.Millisecond))
	w.waitUntilQuiet()
	count := map[string]int{}
	for _, write := range w.cluster.Writes(t, w.operator) {
		count[write.Verb+" "+write.Resource]++
	}
	t.Log(count)
	// If the cache lags behind a create, the create is tried again and refused.
	// A change of the object's managers and an apply follow. This is rare.
	again, patches := 0, 0
	for what, n := range count {
		switch {
		case strings.HasSuffix(what, "streampairs/status"):
			if n > 4*pairs {
				t.Errorf("%s: %d", what, n)
			}
		case strings.HasPrefix(what, "create "):
			per := map[string]int{"create services": 7, "create deployments": 2}[what]
			more := n - max(per, 1)*pairs
			if more < 0 {
				t.Errorf("%s: %d", what, n)
			}
			again += more
		case strings.HasPrefix(what, "patch "):
			patches += n
		default:
			t.Errorf("%s: %d, want none", what, n)
		}
	}
	if again > pairs/10 || patches > 2*again {
		t.Errorf("%d objects were created again, and %d patched", again, patches)
	}
}
