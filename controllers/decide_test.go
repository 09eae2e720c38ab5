package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/status"
)

func written(plan *Plan) []string {
	var list []string
	for _, w := range plan.Writes {
		verb := "apply "
		if w.UID == "" {
			verb = "create "
		}
		list = append(list, verb+w.Object.Key().String())
	}
	return list
}

func TestAPairThatIsAsItShouldBeNeedsNothing(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { *spec = pair.Spec })
			plan := s.decide()
			if got := written(plan); len(got) > 0 || len(plan.Deletes) > 0 || len(plan.Conflicts) > 0 {
				t.Errorf("writes %v, deletes %v, conflicts %v", got, plan.Deletes, plan.Conflicts)
			}
		})
	}
}

func TestWhatIsWritten(t *testing.T) {
	deployment := func(s *scene, role v1alpha1.Role) *appsv1.Deployment { return s.Seen.Deployment(s.Pair, role) }
	for _, test := range []struct {
		name   string
		change func(*scene)
		want   []string
	}{
		{"a new pair", func(s *scene) {
			s.Seen.Objects, s.Seen.Secret, s.Seen.Pods = map[objects.Key]client.Object{}, nil, nil
		}, []string{
			"create Secret sunday-keys", "create ServiceAccount sunday", "create ConfigMap sunday-config",
			"create NetworkPolicy sunday", "create PodDisruptionBudget sunday",
			"create Service sunday-primary-rtmp", "create Service sunday-primary-media", "create Service sunday-primary-pods",
			"create Service sunday-backup-rtmp", "create Service sunday-backup-media", "create Service sunday-backup-pods",
			"create Service sunday-play", "create Deployment sunday-primary", "create Deployment sunday-backup",
		}},
		{"a foreign Secret: no pod is started on it", func(s *scene) {
			s.Seen.Secret.OwnerReferences = nil
			delete(s.Seen.Objects, objects.Key{Kind: objects.KindDeployment, Name: "sunday-primary"})
		}, nil},
		{"somebody scaled a leg", func(s *scene) {
			two := int32(2)
			deployment(s, rolePrimary).Spec.Replicas = &two
		}, []string{"apply Deployment sunday-primary"}},
		{"somebody changed the pod of the leg on air: that is for when nobody watches", func(s *scene) {
			deployment(s, rolePrimary).Spec.Template.Spec.Containers[0].Image = "other:1"
			deployment(s, roleBackup).Spec.Template.Spec.Containers[0].Image = "other:1"
		}, nil},
		{"the spec changed the pods: the standby first", func(s *scene) { s.Pair.Spec.App = "tv" },
			[]string{"apply ConfigMap sunday-config", "apply Deployment sunday-backup"}},
		{"a pin changes no pod", func(s *scene) { s.Pair.Spec.Failover.Select = v1alpha1.SelectBackup },
			[]string{"apply ConfigMap sunday-config"}},
		{"somebody took a port", func(s *scene) {
			service := s.Service("sunday-play")
			service.Spec.Ports = service.Spec.Ports[1:]
		}, []string{"apply Service sunday-play"}},
		{"somebody widened a selector", func(s *scene) { delete(s.Service("sunday-primary-rtmp").Spec.Selector, v1alpha1.LabelRole) },
			[]string{"apply Service sunday-primary-rtmp"}},
		{"somebody narrowed a selector", func(s *scene) { s.Service("sunday-primary-rtmp").Spec.Selector["mine"] = "1" },
			[]string{"apply Service sunday-primary-rtmp"}},
		{"somebody opened the command port", func(s *scene) {
			policy := s.Seen.Objects[objects.Key{Kind: objects.KindNetworkPolicy, Name: "sunday"}].(*networkingv1.NetworkPolicy)
			policy.Spec.Ingress = append(policy.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
		}, []string{"apply NetworkPolicy sunday"}},
		{"somebody changed the budget", func(s *scene) {
			budget := s.Seen.Objects[objects.Key{Kind: objects.KindPodDisruptionBudget, Name: "sunday"}].(*policyv1.PodDisruptionBudget)
			budget.Spec.MinAvailable.IntVal = 0
		}, []string{"apply PodDisruptionBudget sunday"}},
		{"somebody changed the order of arguments: that is no list with keys", func(s *scene) {
			s.Lose(rolePrimary, "NotPublished")
			s.Lose(roleBackup, "NotPublished")
			args := deployment(s, roleBackup).Spec.Template.Spec.Containers[0].Args
			args[0], args[1] = args[1], args[0]
		}, []string{"apply Deployment sunday-backup"}},
		{"somebody removed a no that is no default", func(s *scene) {
			s.Lose(rolePrimary, "NotPublished")
			s.Lose(roleBackup, "NotPublished")
			deployment(s, rolePrimary).Spec.Template.Spec.AutomountServiceAccountToken = nil
			deployment(s, roleBackup).Spec.Template.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		}, []string{"apply Deployment sunday-primary", "apply Deployment sunday-backup"}},
		{"others added what is theirs", func(s *scene) {
			service := s.Service("sunday-play")
			service.Annotations["example.com/mine"], service.Labels["mine"] = "1", "1"
			service.Finalizers = []string{"service.kubernetes.io/load-balancer-cleanup"}
			d := deployment(s, rolePrimary)
			d.Annotations["deployment.kubernetes.io/revision"] = "3"
			d.Spec.Template.Spec.Containers[0].TerminationMessagePath = "/dev/termination-log"
		}, nil},
		{"the server writes quantities its own way", func(s *scene) {
			limits := deployment(s, rolePrimary).Spec.Template.Spec.Containers[0].Resources.Limits
			limits[corev1.ResourceMemory] = resource.MustParse("536870912")
		}, nil},
		{"a field is no longer applied", func(s *scene) { s.Service("sunday-play").Annotations[objects.AnnotationApplied] = "before" },
			[]string{"apply Service sunday-play"}},
		{"a token is due", func(s *scene) { s.Pair.Spec.Publish.TokenGeneration = 1 },
			[]string{"apply Secret sunday-keys", "apply ConfigMap sunday-config"}},
		{"an object goes: it is made anew when it is gone", func(s *scene) {
			now := metav1.NewTime(s.Now)
			service := s.Service("sunday-play")
			service.DeletionTimestamp = &now
			service.Spec.Ports = nil
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.Seen.Turn = true // a change made by hand is corrected in turn
			test.change(s)
			if diff := cmp.Diff(test.want, written(s.decide())); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatTheSpecNoLongerNeedsIsDeleted(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer })
	if plan := s.decide(); len(plan.Deletes) > 0 {
		t.Errorf("deletes %v while it is needed", plan.Deletes)
	}
	s.Pair.Spec.Exposure.WebRTC.Type = v1alpha1.ExposureClusterIP
	s.Service("sunday-backup-media-tcp").OwnerReferences = nil
	plan := s.decide()
	if len(plan.Deletes) != 1 || plan.Deletes[0].GetName() != "sunday-primary-media-tcp" {
		t.Errorf("deletes %v, want the pair's own only", plan.Deletes)
	}
}

func TestWhatPodsAreTold(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort })
	s.Silence(roleBackup, time.Second)
	plan := s.decide()
	if len(plan.Follow) != 2 || plan.Follow[0].Address != "10.0.0.1:9091" || plan.Follow[0].ServerName != "sunday-control.live.streampair" ||
		plan.Follow[0].Token == "" || len(plan.Follow[0].Certificate) == 0 {
		t.Errorf("follows %d pods, %q by %q", len(plan.Follow), plan.Follow[0].Address, plan.Follow[0].ServerName)
	}
	if len(plan.Pushes) != 1 || plan.Pushes[0].Pod.Role != rolePrimary {
		t.Fatalf("tells %v, want the connected pod only", plan.Pushes)
	}
	push := plan.Pushes[0]
	// The pod gets its own media addresses and the base URLs
	// of both pods. Viewers learn the other pod's URL from it.
	bases := map[string]string{
		"Primary": "http://sunday-primary-pods.live.svc:5080", "Backup": "http://sunday-backup-pods.live.svc:5080",
	}
	told := control.MediaAddresses{WebRTC: []string{"203.0.113.1:30189:31189"}, HTTP: bases}
	if diff := cmp.Diff(told, push.Addresses); diff != "" || !push.TellAddresses {
		t.Errorf("tells (%v) -want +got:\n%s", push.TellAddresses, diff)
	}
	config := s.Seen.Objects[objects.Key{Kind: objects.KindConfigMap, Name: "sunday-config"}].(*corev1.ConfigMap)
	if diff := cmp.Diff(config.Data[objects.ManifestKey], string(push.Manifest)); diff != "" {
		t.Errorf("tells another manifest than lies in the ConfigMap:\n%s", diff)
	}

	// Addresses that were told are taken back, once.
	s.Pair.Spec.Exposure.WebRTC.Type = v1alpha1.ExposureClusterIP
	s.Pair.Spec.Playback.ExternalURL = "https://live.example.com"
	s.At(rolePrimary).State.Status.Advertised, s.At(rolePrimary).State.Status.BaseURLs = push.Addresses.WebRTC, bases
	if push := s.decide().Pushes[0]; !push.TellAddresses || len(push.Addresses.WebRTC) != 0 || len(push.Addresses.HTTP) != 0 {
		t.Errorf("does not take the addresses back: %+v", push)
	}
	s.At(rolePrimary).State.Status.Advertised, s.At(rolePrimary).State.Status.BaseURLs = nil, nil
	if push := s.decide().Pushes[0]; push.TellAddresses {
		t.Error("takes back what nobody was told")
	}
}

func TestAPodThatServesOtherStreamsIsNotToldOfThese(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.StreamPairSpec){
		"app":        func(s *v1alpha1.StreamPairSpec) { s.App = "tv" },
		"stream ids": func(s *v1alpha1.StreamPairSpec) { s.Primary.StreamID, s.Backup.StreamID = "one", "two" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort })
			change(&s.Pair.Spec)
			s.Pair.Generation++
			plan := s.decide()
			if len(plan.Pushes) != 2 {
				t.Fatalf("%d pushes", len(plan.Pushes))
			}
			for _, push := range plan.Pushes {
				if push.Manifest != nil || !push.TellAddresses {
					t.Errorf("the %s's pod is told %q, addresses %v", push.Pod.Role, push.Manifest, push.TellAddresses)
				}
			}
			status, _ := s.report()
			if got := shown(status)["Converged"]; got != "False/DirectivePending" {
				t.Errorf("Converged is %s", got)
			}
			if diff := cmp.Diff([]v1alpha1.Role{rolePrimary}, plan.Rollout.MustWait); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
			// A leg whose publisher is unknown to the new spec still counts as used.
			for _, role := range objects.Roles() {
				state := s.At(role).State.Status
				state.Pairs = nil
				state.Streams = []control.Stream{{App: "live", StreamID: "primary", Publishing: role == rolePrimary}, {Publishing: true, Relayed: true}}
			}
			if used, _ := observed.ViewLegs(s.Pair, s.Seen, s.Now).Backup.Used(); used {
				t.Error("what is relayed counts as a publisher")
			}
			if held := s.decide().Rollout.MustWait; len(held) == 0 {
				t.Error("both legs are replaced at once")
			}
		})
	}
}

func TestAPodIsToldNoMoreAddressesThanItTakes(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer })
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("198.51.100.%d", i))
	}
	s.Balancer("sunday-primary-media", corev1.LoadBalancerIngress{Hostname: "lb.example.com"})
	s.Resolves("lb.example.com", many...)
	if n := len(s.decide().Pushes[0].Addresses.WebRTC); n != 16 {
		t.Errorf("told %d addresses", n)
	}
}

func TestAnObjectInTheWayIsNotTriedAtEachEvent(t *testing.T) {
	s := newScene(t, nil)
	want := newDesired(s.Pair, s.Settings)
	key := objects.Key{Kind: objects.KindService, Name: "sunday-play"}
	delete(s.Seen.Objects, key) // it lacks the operator's labels
	want.note(key).retryAt = s.Now.Add(time.Second)
	for wait, conflict := range map[time.Duration]bool{0: true, 999 * time.Millisecond: true, time.Second: false} {
		s.Now = sceneNow.Add(wait)
		plan := s.decideWith(want)
		if (len(plan.Conflicts) == 1) != conflict || (len(plan.Writes) == 0) != conflict {
			t.Errorf("after %v: conflicts %v, writes %v", wait, plan.Conflicts, written(plan))
		}
	}
}

func TestAConflictIsLookedAtRarerAndRarer(t *testing.T) {
	s := newScene(t, nil)
	s.Service("sunday-play").OwnerReferences = nil
	for age, want := range map[time.Duration]time.Duration{0: 2 * time.Second, time.Minute: 15 * time.Second, time.Hour: time.Minute} {
		s.Pair.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonNameConflict, LastTransitionTime: metav1.NewTime(s.Now.Add(-age)),
		}}
		if got := s.decide().Recheck; got != want {
			t.Errorf("after %v it is looked at again in %v, want %v", age, got, want)
		}
	}
}

func TestAQuietPairIsLookedAtForItsSecretOnly(t *testing.T) {
	if got := newScene(t, nil).decide().Recheck; got < secretRecheck*9/10 || got > secretRecheck*11/10 {
		t.Errorf("looked at again in %v, want %v", got, secretRecheck)
	}
}

func TestStatusOfThePairIsTheNewerOfCacheAndOwn(t *testing.T) {
	var m memory
	pair := newScene(t, nil).Pair
	pair.ResourceVersion, pair.Status.PlaybackURL = "9", "cached"
	if got := m.last(pair).PlaybackURL; got != "cached" {
		t.Errorf("first: %q", got)
	}
	m.written, m.version = &v1alpha1.StreamPairStatus{PlaybackURL: "own"}, "10"
	if got := m.last(pair).PlaybackURL; got != "own" {
		t.Errorf("while the cache lags: %q", got)
	}
	pair.ResourceVersion, pair.Status.PlaybackURL = "11", "changed by hand"
	if got := m.last(pair).PlaybackURL; got != "changed by hand" {
		t.Errorf("when the cache has newer: %q", got)
	}
}

func TestAPairIsRememberedUntilItIsGone(t *testing.T) {
	var all memories
	s := newScene(t, nil)
	first := all.of(s.Pair)
	want := first.desiredOf(s.Pair, s.Settings)
	if all.of(s.Pair) != first || first.desiredOf(s.Pair, s.Settings) != want {
		t.Error("the same pair is not remembered")
	}
	s.Pair.Generation++
	if first.desiredOf(s.Pair, s.Settings) == want {
		t.Error("another generation of the spec asks for what the one before asked for")
	}
	again := s.Pair.DeepCopy()
	again.UID = "another"
	first.written, first.version, again.ResourceVersion = &v1alpha1.StreamPairStatus{PlaybackURL: "own"}, "10", "9"
	if got := all.of(again).last(again).PlaybackURL; got != again.Status.PlaybackURL {
		t.Errorf("another pair of that name has the status of the one before: %q", got)
	}
	all.forget(client.ObjectKeyFromObject(s.Pair))
	if len(all.pairs) > 0 {
		t.Error("a pair that is gone is remembered")
	}
}

func TestMetricsOfAPair(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	metrics.New(registry) // a second manager in one process
	s := newScene(t, nil)
	name := client.ObjectKeyFromObject(s.Pair)
	before, _ := s.report()
	m.Observe(name, before, status.Switched(s.last, before))
	after := before.DeepCopy()
	after.ActiveStream.Role = roleBackup
	after.LastSwitch = &v1alpha1.Switch{From: rolePrimary, To: roleBackup, Reason: "PrimaryInputLost", Time: metav1.NewTime(s.Now)}
	m.Observe(name, after, status.Switched(before, after))
	m.Observe(name, after, status.Switched(after, after))
	want := `
# HELP streampair_active_leg 1 for the leg that viewers get, 0 for the other; both 0: viewers get no live picture.
# TYPE streampair_active_leg gauge
streampair_active_leg{namespace="live",pair="sunday",role="Backup"} 1
streampair_active_leg{namespace="live",pair="sunday",role="Primary"} 0
# HELP streampair_switches_total Changes from one leg to the other, by reason, since this operator began to follow the pair.
# TYPE streampair_switches_total counter
streampair_switches_total{namespace="live",pair="sunday",reason="PrimaryInputLost"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "streampair_active_leg", "streampair_switches_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "streampair_condition"); n != len(allWell)+len(ofContent) || err != nil {
		t.Errorf("%d conditions (%v), want %d", n, err, len(allWell)+len(ofContent))
	}
	m.Forget(name)
	if n, err := testutil.GatherAndCount(registry); n != 0 || err != nil {
		t.Errorf("%d series are left of a pair that is gone (%v)", n, err)
	}
}

func TestADecisionWritesNothingDown(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"nothing to do": func(*scene) {},
		"a Service changed by hand": func(s *scene) {
			s.Seen.Objects[objects.Key{Kind: objects.KindService, Name: "sunday-play"}].(*corev1.Service).Spec.Ports = nil
		},
		"a Deployment changed by hand": func(s *scene) {
			s.Seen.Deployment(s.Pair, roleBackup).Spec.Template.Spec.Containers[0].Image = "mirror.example.com/mediaserver:1"
		},
		"a rollout": func(s *scene) { s.Pair.Spec.MediaServer.PriorityClassName = "high" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			change(s)
			want := newDesired(s.Pair, s.Settings)
			before := fmt.Sprintf("%+v", want)
			first := written(s.decideWith(want))
			if diff := cmp.Diff(before, fmt.Sprintf("%+v", want)); diff != "" {
				t.Errorf("what is known of the objects (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(first, written(s.decideWith(want))); diff != "" {
				t.Errorf("writes (-first decision +second):\n%s", diff)
			}
		})
	}
}

// The benchmark is of a media event, which changes nothing but the status.
func BenchmarkDecideAndReport(b *testing.B) {
	s := newScene(&testing.T{}, nil)
	want := newDesired(s.Pair, s.Settings)
	for b.Loop() {
		want.compare(s.Pair, s.Seen)
		plan := s.decideWith(want)
		status.New(s.facts(plan))
	}
}

func TestPairsAreLookedAtSpreadOverTime(t *testing.T) {
	const d = 2 * time.Minute
	shortest, longest := d*2, time.Duration(0)
	for i := range 500 {
		pair := &v1alpha1.StreamPair{}
		pair.UID = types.UID(fmt.Sprintf("6e5f9f6a-0000-4000-8000-%012d", i))
		wait := spread(pair, d)
		shortest, longest = min(shortest, wait), max(longest, wait)
	}
	if shortest < d*9/10 || longest > d*11/10 || longest-shortest < d*18/100 {
		t.Errorf("500 pairs wait %v to %v, want %v to %v", shortest, longest, d*9/10, d*11/10)
	}
}
