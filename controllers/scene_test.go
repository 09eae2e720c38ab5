package controllers

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
)

// sceneNow is when scenes play.
var sceneNow = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// A scene is all that a reconcile knows. A new one has nothing to do: the pair sunday with
// all its objects, two ready pods on two nodes, both encoders live, the primary on air for
// an hour. Tests change it.
type scene struct {
	t       *testing.T
	pair    *v1alpha1.StreamPair
	objects ObjectSettings
	refused Refusals
	seen    *Observation
	outcome *Outcome
	last    *v1alpha1.StreamPairStatus
	heard   heardStates
	now     time.Time
}

func newScene(t *testing.T, spec func(*v1alpha1.StreamPairSpec)) *scene {
	t.Helper()
	s := &scene{t: t, now: sceneNow, last: &v1alpha1.StreamPairStatus{}, objects: testSettings}
	s.pair = &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday", UID: "pair-uid", Generation: 2},
		Spec: v1alpha1.StreamPairSpec{
			Primary: v1alpha1.Leg{StreamID: "primary"}, Backup: v1alpha1.Leg{StreamID: "backup"},
		},
	}
	if spec != nil {
		spec(&s.pair.Spec)
	}
	s.pair.Default()
	s.outcome = &Outcome{Accepted: map[PodKey]bool{}, PushErrors: map[PodKey]string{}, AddressErrors: map[PodKey]string{}}
	s.seen = &Observation{
		Objects: map[ObjectKey]client.Object{}, Pods: map[v1alpha1.Role][]ObservedPod{}, Hosts: map[string]ResolvedHost{},
	}
	keys, err := NewKeys(s.now, s.pair)
	if err != nil {
		t.Fatal(err)
	}
	s.seen.Secret = s.live(newDesired(KeysObject(s.pair, keys)).Object).(*corev1.Secret)
	s.settle()
	for i, role := range Roles() {
		s.seen.Pods[role] = []ObservedPod{s.pod(role, i)}
	}
	return s
}

// settle makes the objects what the spec wants now, as if they had been applied.
func (s *scene) settle() {
	for _, object := range Objects(s.pair, s.objects) {
		if object.Kind == KindDeployment {
			object.meta.WithAnnotations(map[string]string{AnnotationSpecHash: specHash(s.pair)})
		}
		s.seen.Objects[object.Key()] = s.live(newDesired(object).Object)
	}
	for role := range s.seen.Pods {
		for _, pod := range s.seen.Pods[role] {
			pod.Annotations[AnnotationTemplateHash], pod.Annotations[AnnotationStreams] = s.hash(role), streamsOf(s.pair)
		}
	}
}

// live is the object as the API server has it.
func (s *scene) live(o Object) client.Object {
	text, err := json.Marshal(o.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	object := newObject(o.Kind)
	if err := json.Unmarshal(text, object); err != nil {
		s.t.Fatal(err)
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

func (s *scene) hash(role v1alpha1.Role) string {
	for _, object := range Objects(s.pair, s.objects) {
		if object.Name == DeploymentName(s.pair.Name, role) {
			return object.TemplateHash()
		}
	}
	return ""
}

func (s *scene) pod(role v1alpha1.Role, i int) ObservedPod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.pair.Namespace, Name: DeploymentName(s.pair.Name, role) + "-1", UID: types.UID(LegName(role) + "-1"),
			Labels:            LegLabels(s.pair.Name, role),
			Annotations:       map[string]string{AnnotationTemplateHash: s.hash(role), AnnotationStreams: streamsOf(s.pair)},
			CreationTimestamp: metav1.NewTime(s.now.Add(-2 * time.Hour)),
		},
		Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%c", 'a'+i)},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.0.%d", i+1), HostIP: fmt.Sprintf("192.0.2.%d", i+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	since := s.now.Add(-time.Hour)
	return ObservedPod{
		Pod: pod, NodeAddress: fmt.Sprintf("203.0.113.%d", i+1), ControlAddress: pod.Status.PodIP + ":9091",
		State: PodState{Connected: true, Since: since, Status: &control.Status{
			BootID: "boot-" + LegName(role), Role: string(role), ConfigGeneration: s.pair.Generation,
			Pairs: []control.Pair{{
				Name: s.pair.Name, Declared: true, App: "live", PrimaryID: "primary", BackupID: "backup",
				Active: "Primary", ActiveStreamID: "primary", OnAir: true, Reason: v1alpha1.SwitchStarted, Since: &since,
				Legs: []control.Leg{
					{Role: "Primary", StreamID: "primary", Live: true, Rank: "Full", EntryPoint: true, Publishing: true, Local: i == 0},
					{Role: "Backup", StreamID: "backup", Live: true, Rank: "Full", EntryPoint: true, Publishing: true, Local: i == 1},
				},
			}},
		}},
	}
}

// at returns the pod of a leg.
func (s *scene) at(role v1alpha1.Role) *ObservedPod { return &s.seen.Pods[role][0] }

// reports returns what the pod of a leg says of the pair.
func (s *scene) reports(role v1alpha1.Role) *control.Pair { return &s.at(role).State.Status.Pairs[0] }

// both changes what both pods say of the pair.
func (s *scene) both(change func(*control.Pair)) {
	for _, role := range Roles() {
		change(s.reports(role))
	}
}

// lose takes a leg's media away, for both pods.
func (s *scene) lose(role v1alpha1.Role, reason string) {
	s.both(func(p *control.Pair) {
		leg := legOf(p, role)
		leg.Live, leg.Rank, leg.EntryPoint, leg.LossReason = false, "None", false, reason
		leg.Publishing = reason == control.LossSilent
	})
}

// silence takes the command port of a leg's pod away.
func (s *scene) silence(role v1alpha1.Role, since time.Duration) {
	state := &s.at(role).State
	state.Connected, state.Since, state.Err = false, s.now.Add(-since), "connection refused"
}

func (s *scene) unready(role v1alpha1.Role) {
	s.at(role).Status.Conditions[0].Status = corev1.ConditionFalse
}

// unheard is the view of an operator that has just started.
func (s *scene) unheard(role v1alpha1.Role) {
	s.at(role).State = PodState{Since: s.now.Add(-time.Second)}
}

func (s *scene) service(name string) *corev1.Service {
	return s.seen.Objects[ObjectKey{KindService, name}].(*corev1.Service)
}

func (s *scene) balancer(name string, ingress ...corev1.LoadBalancerIngress) {
	s.service(name).Status.LoadBalancer.Ingress = ingress
}

func (s *scene) resolves(host string, addresses ...string) {
	found := ResolvedHost{Expires: s.now.Add(40 * time.Second)}
	for _, a := range addresses {
		found.Addresses = append(found.Addresses, netip.MustParseAddr(a))
	}
	s.seen.Hosts[host] = found
}

func (s *scene) decide() *Plan {
	s.t.Helper()
	plan, err := decide(s.pair, newWanted(s.pair, s.objects), s.seen, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return plan
}

func (s *scene) report() (*v1alpha1.StreamPairStatus, time.Duration) {
	s.t.Helper()
	plan := s.decide()
	s.outcome.Conflicts = append(s.outcome.Conflicts, plan.Conflicts...)
	return newStatus(s.pair, s.refused, s.seen, plan, s.outcome, s.last, recalled(s.last, s.heard), s.now)
}

// goesOn makes the status the one reported before, and lets time pass.
func (s *scene) goesOn(d time.Duration) {
	s.t.Helper()
	status, _ := s.report()
	s.last, s.now = status, s.now.Add(d)
	s.outcome = &Outcome{Accepted: map[PodKey]bool{}, PushErrors: map[PodKey]string{}, AddressErrors: map[PodKey]string{}}
}
