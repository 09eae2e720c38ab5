package integration_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

// everything returns the objects of the pair sunday, by Kind/name.
func (w *world) everything() map[string]client.Object {
	w.t.Helper()
	all := map[string]client.Object{}
	for _, name := range sundays {
		kind, name, _ := strings.Cut(name, "/")
		object := map[string]client.Object{
			"ConfigMap": &corev1.ConfigMap{}, "Deployment": &appsv1.Deployment{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
			"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "Secret": &corev1.Secret{}, "Service": &corev1.Service{},
			"ServiceAccount": &corev1.ServiceAccount{},
		}[kind]
		if w.get(name, object) {
			all[kind+"/"+name] = object
		}
	}
	return all
}

// orphan deletes the pair sunday but leaves its
// objects. It returns the pair, to be created again.
func (w *world) orphan() *v1alpha1.StreamPair {
	w.t.Helper()
	w.waitUntilQuiet() // the garbage collector must know all objects that it orphans
	pair := w.pair("sunday")
	w.must(w.admin.Delete(w.t.Context(), pair, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	eventually.True(w.t, "the pair gone, and its objects without owner", func() bool {
		return !w.get("sunday", &v1alpha1.StreamPair{}) && !slices.ContainsFunc(slices.Collect(maps.Values(w.everything())), func(o client.Object) bool {
			return len(o.GetOwnerReferences()) > 0
		})
	})
	return &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "sunday"}, Spec: pair.Spec}
}

// allOwned reports whether the pair is the controller of all its objects.
func (w *world) allOwned(pair *v1alpha1.StreamPair) bool {
	all := w.everything()
	for _, o := range all {
		if !metav1.IsControlledBy(o, pair) {
			return false
		}
	}
	return len(all) == len(sundays)
}

// allApplied reports whether the operator has applied all the objects since they were adopted.
func (w *world) allApplied() bool {
	for _, o := range w.everything() {
		if o.GetAnnotations()[objects.AnnotationApplied] == "adopted" {
			return false
		}
	}
	return true
}

// patched changes an object as a user with kubectl does.
func patched[T client.Object](w *world, object T, change func()) {
	w.t.Helper()
	before := object.DeepCopyObject().(client.Object)
	change()
	w.must(w.admin.Patch(w.t.Context(), object, client.MergeFrom(before), client.FieldOwner("somebody")))
}

func uids(all map[string]client.Object) map[string]types.UID {
	m := map[string]types.UID{}
	for name, o := range all {
		m[name] = o.GetUID()
	}
	return m
}

func TestAPairThatIsMadeAgainAdoptsItsOrphans(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type, s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort
	})
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	w.waitUntilQuiet()
	again := w.orphan()

	// Meanwhile somebody adds to the orphans.
	service, deployment, policy, config := &corev1.Service{}, &appsv1.Deployment{}, &networkingv1.NetworkPolicy{}, &corev1.ConfigMap{}
	w.get("sunday-play", service)
	clusterIP, nodePort := service.Spec.ClusterIP, service.Spec.Ports[0].NodePort
	patched(w, service, func() {
		service.Spec.ExternalIPs = []string{"203.0.113.7"}
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "foreign", Port: 2222, TargetPort: intstr.FromInt32(22)})
		service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		service.Finalizers = append(service.Finalizers, "example.com/cloud")
		metav1.SetMetaDataAnnotation(&service.ObjectMeta, "example.com/mine", "1")
	})
	w.get("sunday-backup", deployment)
	patched(w, deployment, func() {
		deployment.Spec.Template.Spec.Containers = append(deployment.Spec.Template.Spec.Containers, corev1.Container{Name: "foreign", Image: "foreign:1"})
		deployment.Spec.Template.Spec.HostNetwork = true
	})
	w.get("sunday-primary", deployment)
	patched(w, deployment, func() {
		metav1.SetMetaDataAnnotation(&deployment.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", "2026-11-22T20:00:00Z")
	})
	w.get("sunday", policy)
	patched(w, policy, func() {
		policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	})
	w.get("sunday-config", config)
	patched(w, config, func() { config.Data["foreign"] = "x" })
	// The manager of what somebody added is not recorded.
	unmanaged := &corev1.Service{}
	w.get("sunday-primary-rtmp", unmanaged)
	patched(w, unmanaged, func() { unmanaged.Spec.ExternalIPs = []string{"203.0.113.8"} })
	w.must(w.admin.Patch(t.Context(), unmanaged, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`))))
	before := w.everything()

	w.must(w.admin.Create(t.Context(), again))
	took := eventually.True(w.t, "all objects the new pair's, and applied", func() bool { return w.allOwned(again) && w.allApplied() })
	t.Logf("adopted after %v", took)
	w.waitUntilQuiet()
	after := w.everything()
	if diff := cmp.Diff(uids(before), uids(after)); diff != "" {
		t.Errorf("objects were made anew (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before["Secret/sunday-keys"].(*corev1.Secret).Data, after["Secret/sunday-keys"].(*corev1.Secret).Data); diff != "" {
		t.Error("the keys changed")
	}

	w.get("sunday-play", service)
	if service.Spec.ClusterIP != clusterIP || service.Spec.Ports[0].NodePort != nodePort {
		t.Errorf("cluster IP %s, node port %d; they were %s and %d", service.Spec.ClusterIP, service.Spec.Ports[0].NodePort, clusterIP, nodePort)
	}
	if s := service.Spec; len(s.ExternalIPs) > 0 || s.SessionAffinity != corev1.ServiceAffinityNone ||
		slices.ContainsFunc(s.Ports, func(p corev1.ServicePort) bool { return p.Name == "foreign" }) {
		t.Errorf("the Service has what somebody added: %+v", s)
	}
	if w.get("sunday-primary-rtmp", unmanaged); len(unmanaged.Spec.ExternalIPs) > 0 {
		t.Errorf("the Service has external IPs that nobody is known to manage: %v", unmanaged.Spec.ExternalIPs)
	}
	if !slices.Contains(service.Finalizers, "example.com/cloud") || service.Annotations["example.com/mine"] != "1" {
		t.Errorf("finalizers %v and annotations %v: those of others must stay", service.Finalizers, service.Annotations)
	}
	patched(w, service, func() { service.Finalizers = nil }) // otherwise the namespace would stay
	w.get("sunday-backup", deployment)
	if pod := deployment.Spec.Template.Spec; len(pod.Containers) != 1 || pod.HostNetwork {
		t.Errorf("the Deployment has what somebody added: %+v", pod)
	}
	w.get("sunday-primary", deployment)
	if diff := cmp.Diff(before["Deployment/sunday-primary"].(*appsv1.Deployment).Spec.Template, deployment.Spec.Template); diff != "" {
		t.Errorf("the pod that was restarted by hand is replaced (-before +after):\n%s", diff)
	}
	sets := &appsv1.ReplicaSetList{}
	w.must(w.admin.List(t.Context(), sets, client.InNamespace(w.namespace), client.MatchingLabels(objects.LegSelector("sunday", v1alpha1.RolePrimary))))
	if len(sets.Items) != 2 { // as made, and as restarted by hand
		t.Errorf("%d replica sets of the primary", len(sets.Items))
	}
	w.get("sunday", policy)
	if len(policy.Spec.Egress) > 0 || len(policy.Spec.PolicyTypes) != 1 {
		t.Errorf("the NetworkPolicy has what somebody added: %+v", policy.Spec)
	}
	if w.get("sunday-config", config); config.Data["foreign"] != "" {
		t.Error("the ConfigMap has what somebody added")
	}
	w.wantAdoptions(after)
}

// wantAdoptions checks that there is an Event for each of the objects.
func (w *world) wantAdoptions(objects map[string]client.Object) {
	w.t.Helper()
	var missing []string
	adopted := func() bool {
		list := &eventsv1.EventList{}
		w.must(w.admin.List(w.t.Context(), list, client.InNamespace(w.namespace)))
		missing = nil
		for name, o := range objects {
			kind, name, _ := strings.Cut(name, "/")
			if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool {
				return e.Reason == v1alpha1.EventAdopted && e.Regarding.Name == "sunday" && strings.Contains(e.Note, kind+" "+name+" ") &&
					strings.Contains(e.Note, string(o.GetUID()))
			}) {
				missing = append(missing, kind+"/"+name)
			}
		}
		return len(missing) == 0
	}
	eventually.True(w.t, "an Event for each adoption", adopted)
}

func TestAdoptionCanBeTurnedOff(t *testing.T) {
	w := newWorld(t, func(w *world) { w.settings.LeaveOrphans = true })
	w.create("sunday", nil)
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	again := w.orphan()
	before := w.everything()
	w.must(w.admin.Create(t.Context(), again))
	pair := w.waitFor("sunday", "Ready=False/NameConflict", "Exposed=False/NameConflict")
	t.Log(describe(pair))
	w.waitUntilQuiet()
	for name, o := range w.everything() {
		if o.GetUID() != before[name].GetUID() || metav1.GetControllerOf(o) != nil {
			t.Errorf("%s was written to", name)
		}
	}
	if message := readyMessage(pair); !strings.Contains(message, "--adopt-orphans") || strings.Count(message, "Secret sunday-keys") < 2 {
		t.Errorf("the message names neither the flag nor the tokens: %s", message)
	}

	w.stop()
	w.settings.LeaveOrphans = false
	w.start()
	eventually.True(w.t, "all objects the new pair's", func() bool { return w.allOwned(again) })
}

func readyMessage(pair *v1alpha1.StreamPair) string {
	for _, c := range pair.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

// The Secret lost its owner in place, and the user may have changed the spec since.
func TestAnAdoptedSecretKeepsItsTokens(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after int64
		kept          bool
	}{
		{"the pair counts as before", 3, 3, true},
		{"the pair counts anew", 3, 0, true},
		{"the spec asks for new tokens since the backup", 3, 4, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration = test.before })
			eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
			again := w.orphan()
			secret := &corev1.Secret{}
			w.get("sunday-keys", secret)
			token := secret.Data[v1alpha1.SecretKeyPublishToken]
			again.Spec.Publish.TokenGeneration = test.after
			w.must(w.admin.Create(t.Context(), again))
			eventually.True(w.t, "all objects the new pair's, and applied", func() bool { return w.allOwned(again) && w.allApplied() })
			w.waitUntilQuiet()
			w.get("sunday-keys", secret)
			if kept := bytes.Equal(token, secret.Data[v1alpha1.SecretKeyPublishToken]); kept != test.kept {
				t.Errorf("the token was kept: %v, want %v", kept, test.kept)
			}
			if got, want := secret.Annotations[v1alpha1.AnnotationTokenGeneration], fmt.Sprint(test.after); got != want {
				t.Errorf("token generation %s, want %s", got, want)
			}
		})
	}
}

// An earlier operator did not mark the Secret. From now on backups have the mark.
func TestASecretIsMarkedForTheNextRestore(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	secret := &corev1.Secret{}
	w.get("sunday-keys", secret)
	patched(w, secret, func() { delete(secret.Annotations, objects.AnnotationApplied) })
	data := secret.Data
	w.touch("sunday")
	eventually.True(w.t, "the mark", func() bool {
		return w.get("sunday-keys", secret) && secret.Annotations[objects.AnnotationApplied] != ""
	})
	if diff := cmp.Diff(data, secret.Data); diff != "" {
		t.Error("the keys changed")
	}
}

// A running pair may lose its owner references, for
// example by kubectl replace. It gets them back.
func TestAPairThatLostItsObjectsGetsThemBack(t *testing.T) {
	w := newWorld(t)
	w.create("sunday", nil)
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	w.waitUntilQuiet()
	service := &corev1.Service{}
	w.get("sunday-play", service)
	began := time.Now()
	patched(w, service, func() { service.OwnerReferences = nil })
	pair := w.pair("sunday")
	eventually.True(w.t, "the Service is the pair's", func() bool { return w.get("sunday-play", service) && metav1.IsControlledBy(service, pair) })
	t.Logf("adopted after %v", time.Since(began))
	w.wantAdoptions(map[string]client.Object{"Service/sunday-play": service})
}
