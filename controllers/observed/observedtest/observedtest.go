// Package observedtest makes pairs for tests, with all
// their objects and pods as a reconcile would observe them.
package observedtest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/pods"
)

// A Scene is a pair with all that is observed of it. It is the pair
// sunday with all its objects, two ready pods on two nodes, both
// encoders live, and the primary on air for an hour. Tests change it.
type Scene struct {
	// T is the test. It fails if the scene cannot be made.
	T testing.TB
	// Pair is the pair. Settings are the settings on which its objects depend.
	Pair     *v1alpha1.StreamPair
	Settings objects.Settings
	// Seen is what is observed at Now.
	Seen *observed.Pair
	Now  time.Time
}

// Start returns the time of a new scene.
func Start() time.Time { return time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC) }

// New returns a scene of a pair whose spec was changed by spec; nil: the spec was not changed.
func New(t testing.TB, spec func(*v1alpha1.StreamPairSpec)) *Scene {
	t.Helper()
	s := &Scene{T: t, Now: Start(), Settings: objectstest.Settings()}
	s.Pair = &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday", UID: "pair-uid", Generation: 2},
		Spec: v1alpha1.StreamPairSpec{
			Primary: v1alpha1.Leg{StreamID: "primary"}, Backup: v1alpha1.Leg{StreamID: "backup"},
		},
	}
	if spec != nil {
		spec(&s.Pair.Spec)
	}
	s.Pair.Default()
	s.Seen = &observed.Pair{
		Objects: map[objects.Key]client.Object{}, Pods: map[v1alpha1.Role][]observed.Pod{}, Hosts: map[string]observed.Host{},
	}
	pairKeys, err := keys.New(s.Now, s.Pair)
	if err != nil {
		t.Fatal(err)
	}
	s.Seen.Secret = s.Live(objects.NewDesired(keys.Object(s.Pair, pairKeys)).Object).(*corev1.Secret)
	s.ApplyAll()
	for i, role := range objects.Roles() {
		s.Seen.Pods[role] = []observed.Pod{s.Pod(role, i)}
	}
	return s
}

// ApplyAll makes the objects what the spec asks for now, as if they had been applied.
func (s *Scene) ApplyAll() {
	for _, object := range objects.Of(s.Pair, s.Settings) {
		if object.Kind == objects.KindDeployment {
			object.Annotate(objects.AnnotationSpecHash, objects.SpecHash(s.Pair))
		}
		s.Seen.Objects[object.Key()] = s.Live(objects.NewDesired(object).Object)
	}
	for role := range s.Seen.Pods {
		for _, pod := range s.Seen.Pods[role] {
			pod.Annotations[objects.AnnotationTemplateHash], pod.Annotations[objects.AnnotationStreams] = s.hash(role), objects.StreamsOf(s.Pair)
		}
	}
}

// Live returns the object as the API server has it.
func (s *Scene) Live(o objects.Object) client.Object {
	text, err := json.Marshal(o.Config)
	if err != nil {
		s.T.Fatal(err)
	}
	object := objects.Empty(o.Kind)
	if err := json.Unmarshal(text, object); err != nil {
		s.T.Fatal(err)
	}
	object.SetUID(types.UID("uid-of-" + o.Name))
	object.SetResourceVersion("1")
	if service, ok := object.(*corev1.Service); ok && service.Spec.Type == corev1.ServiceTypeNodePort {
		for i := range service.Spec.Ports {
			service.Spec.Ports[i].NodePort = 30000 + service.Spec.Ports[i].Port%1000 + int32(i)*1000
		}
	}
	return object
}

// hash returns the hash of a leg's pod template.
func (s *Scene) hash(role v1alpha1.Role) string {
	for _, object := range objects.Of(s.Pair, s.Settings) {
		if object.Name == objects.DeploymentName(s.Pair.Name, role) {
			return object.TemplateHash()
		}
	}
	return ""
}

// Pod returns a media pod of a leg, on the node of that number. The pod reports both legs live.
func (s *Scene) Pod(role v1alpha1.Role, i int) observed.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Pair.Namespace, Name: objects.DeploymentName(s.Pair.Name, role) + "-1", UID: types.UID(objects.LegName(role) + "-1"),
			Labels:            objects.LegLabels(s.Pair.Name, role),
			Annotations:       map[string]string{objects.AnnotationTemplateHash: s.hash(role), objects.AnnotationStreams: objects.StreamsOf(s.Pair)},
			CreationTimestamp: metav1.NewTime(s.Now.Add(-2 * time.Hour)),
		},
		Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%c", 'a'+i)},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.0.%d", i+1), HostIP: fmt.Sprintf("192.0.2.%d", i+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	since := s.Now.Add(-time.Hour)
	return observed.Pod{
		Pod: pod, NodeAddress: fmt.Sprintf("203.0.113.%d", i+1), ControlAddress: pod.Status.PodIP + ":9091",
		State: pods.State{Connected: true, Since: since, Status: &control.Status{
			BootID: "boot-" + objects.LegName(role), Role: string(role), ConfigGeneration: s.Pair.Generation, UnknownFields: []string{},
			Pairs: []control.Pair{{
				Name: s.Pair.Name, Declared: true, App: "live", PrimaryID: "primary", BackupID: "backup",
				Active: "Primary", ActiveStreamID: "primary", OnAir: true, Reason: v1alpha1.SwitchStarted, Since: &since,
				Legs: []control.Leg{
					{Role: "Primary", StreamID: "primary", Live: true, Rank: "Full", EntryPoint: true, Publishing: true, Local: i == 0},
					{Role: "Backup", StreamID: "backup", Live: true, Rank: "Full", EntryPoint: true, Publishing: true, Local: i == 1},
				},
			}},
		}},
	}
}

// At returns the pod of a leg.
func (s *Scene) At(role v1alpha1.Role) *observed.Pod { return &s.Seen.Pods[role][0] }

// Reports returns what the pod of a leg reports of the pair.
func (s *Scene) Reports(role v1alpha1.Role) *control.Pair {
	return &s.At(role).State.Status.Pairs[0]
}

// Both changes what both pods report of the pair.
func (s *Scene) Both(change func(*control.Pair)) {
	for _, role := range objects.Roles() {
		change(s.Reports(role))
	}
}

// Lose removes a leg's media at both pods.
func (s *Scene) Lose(role v1alpha1.Role, reason string) {
	s.Both(func(p *control.Pair) {
		leg := observed.LegOf(p, role)
		leg.Live, leg.Rank, leg.EntryPoint, leg.LossReason = false, "None", false, reason
		leg.Publishing = reason == control.LossSilent
	})
}

// Silence makes the command port of a leg's pod unreachable since that time ago.
func (s *Scene) Silence(role v1alpha1.Role, since time.Duration) {
	state := &s.At(role).State
	state.Connected, state.Since, state.Err = false, s.Now.Add(-since), "connection refused"
}

// Unready makes a leg's pod not ready.
func (s *Scene) Unready(role v1alpha1.Role) {
	s.At(role).Status.Conditions[0].Status = corev1.ConditionFalse
}

// Unheard makes a leg's pod one that an operator has just started to follow.
func (s *Scene) Unheard(role v1alpha1.Role) {
	s.At(role).State = pods.State{Since: s.Now.Add(-time.Second)}
}

// Service returns a Service of the pair.
func (s *Scene) Service(name string) *corev1.Service {
	return s.Seen.Objects[objects.Key{Kind: objects.KindService, Name: name}].(*corev1.Service)
}

// Balancer gives a Service a load balancer with these addresses.
func (s *Scene) Balancer(name string, ingress ...corev1.LoadBalancerIngress) {
	s.Service(name).Status.LoadBalancer.Ingress = ingress
}

// Resolves gives a host name addresses.
func (s *Scene) Resolves(host string, addresses ...string) {
	found := observed.Host{Expires: s.Now.Add(40 * time.Second)}
	for _, a := range addresses {
		found.Addresses = append(found.Addresses, netip.MustParseAddr(a))
	}
	s.Seen.Hosts[host] = found
}
