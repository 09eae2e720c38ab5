package controllers

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/orphans"
)

// orphaned returns a scene whose objects have lost
// their owner, and whose operator adopts orphans.
func orphaned(t *testing.T, spec func(*v1alpha1.StreamPairSpec)) *scene {
	t.Helper()
	s := newScene(t, spec)
	s.Seen.Adopts = true
	s.Seen.Secret.OwnerReferences = nil
	for _, o := range s.Seen.Objects {
		o.SetOwnerReferences(nil)
	}
	return s
}

func adopted(plan *Plan) []string {
	var names []string
	for _, a := range plan.Adoptions {
		names = append(names, a.String())
	}
	slices.Sort(names)
	return names
}

func TestOrphansAreAdoptedBeforeTheyAreWrittenTo(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		s := orphaned(t, func(spec *v1alpha1.StreamPairSpec) { *spec = pair.Spec })
		want := []string{"Secret sunday-keys"}
		for key := range s.Seen.Objects {
			want = append(want, key.String())
		}
		slices.Sort(want)
		plan := s.decide()
		if diff := cmp.Diff(want, adopted(plan)); diff != "" {
			t.Errorf("%s: adopted (-want +got):\n%s", name, diff)
		}
		if len(plan.Conflicts) > 0 || len(plan.Writes) > 0 {
			t.Errorf("%s: conflicts %v, writes %v", name, plan.Conflicts, written(plan))
		}
	}
}

func TestAnOrphanedPairIsReportedAsItIs(t *testing.T) {
	healthy, _ := newScene(t, nil).report()
	status, _ := orphaned(t, nil).report()
	if diff := cmp.Diff(healthy, status); diff != "" {
		t.Errorf("status (-owned +orphaned):\n%s", diff)
	}
}

func TestOrphanFault(t *testing.T) {
	yes := true
	secret := func(change func(*corev1.Secret)) func(*scene) client.Object {
		return func(s *scene) client.Object { change(s.Seen.Secret); return s.Seen.Secret }
	}
	object := func(kind, name string, change func(client.Object)) func(*scene) client.Object {
		return func(s *scene) client.Object {
			o := s.Seen.Objects[objects.Key{Kind: kind, Name: name}]
			change(o)
			return o
		}
	}
	for _, test := range []struct {
		name   string
		object func(*scene) client.Object
		want   string
	}{
		{"a Secret as it was", secret(func(*corev1.Secret) {}), ""},
		{"a Secret with a certificate of another namespace", secret(func(o *corev1.Secret) {
			other, err := keys.New(sceneNow, &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "sunday"}})
			if err != nil {
				t.Fatal(err)
			}
			o.Data[v1alpha1.SecretKeyControlCert], o.Data[v1alpha1.SecretKeyControlKey] = other.ControlCert, other.ControlKey
		}), ""},
		{"a Secret with a key of somebody else", secret(func(o *corev1.Secret) { o.Data["mine"] = []byte("x") }), ""},
		{"a Secret whose play token nobody asks for, and is malformed", secret(func(o *corev1.Secret) {
			o.Data[v1alpha1.SecretKeyPlayToken] = []byte("x")
		}), "its key playToken is malformed"},
		{"a Secret without the publish token", secret(func(o *corev1.Secret) { delete(o.Data, v1alpha1.SecretKeyPublishToken) }),
			"its key publishToken is missing"},
		{"a Secret whose certificate is not of its key", secret(func(o *corev1.Secret) {
			other, err := keys.New(sceneNow, &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday"}})
			if err != nil {
				t.Fatal(err)
			}
			o.Data[v1alpha1.SecretKeyControlKey] = other.ControlKey
		}), "its key control.crt is malformed"},
		{"an immutable Secret", secret(func(o *corev1.Secret) { o.Immutable = &yes }), "it is immutable"},
		{"a Secret of a type of its own", secret(func(o *corev1.Secret) { o.Type = corev1.SecretTypeBasicAuth }), "it is of type kubernetes.io/basic-auth"},
		{"a Secret of the pair before", secret(func(o *corev1.Secret) {
			o.OwnerReferences = []metav1.OwnerReference{{Kind: "StreamPair", Name: "sunday", UID: "before", Controller: &yes}}
		}), "its owner is a pair of this name that is gone (UID before)"},
		{"a Service with an owner that is no controller", object(objects.KindService, "sunday-play", func(o client.Object) {
			o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "ConfigMap", Name: "release", UID: "other"}})
		}), ""},
		{"a Service with another controller", object(objects.KindService, "sunday-play", func(o client.Object) {
			o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Release", Name: "mine", UID: "other", Controller: &yes}})
		}), "its owner is Release mine"},
		{"a Service that somebody else manages", object(objects.KindService, "sunday-play", func(o client.Object) {
			o.GetLabels()["app.kubernetes.io/managed-by"] = "Helm"
		}), "it has no label app.kubernetes.io/managed-by=streampair-operator"},
		{"a Service with labels of a restore", object(objects.KindService, "sunday-play", func(o client.Object) {
			o.GetLabels()["velero.io/restore-name"] = "nightly"
		}), ""},
		{"a headless Service with an address", object(objects.KindService, "sunday-primary-pods", func(o client.Object) {
			o.(*corev1.Service).Spec.ClusterIP = "10.0.0.1"
		}), "its spec.clusterIP would have to change, and cannot"},
		{"a Service that has become headless", object(objects.KindService, "sunday-play", func(o client.Object) {
			o.(*corev1.Service).Spec.ClusterIP = "None"
		}), "its spec.clusterIP would have to change, and cannot"},
		{"a Deployment of other pods", object(objects.KindDeployment, "sunday-backup", func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Selector.MatchLabels["mine"] = "1"
		}), "its spec.selector would have to change, and cannot"},
		{"a Deployment with the applied annotation taken away", object(objects.KindDeployment, "sunday-backup", func(o client.Object) {
			o.SetAnnotations(nil)
		}), "it has no annotation media.streampair.dev/applied"},
		{"an object that is being deleted", object(objects.KindServiceAccount, "sunday", func(o client.Object) {
			now := metav1.NewTime(sceneNow)
			o.SetDeletionTimestamp(&now)
		}), "it is being deleted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := orphaned(t, nil)
			o := test.object(s)
			key := objects.Key{Kind: objects.KindSecret, Name: o.GetName()}
			for k, other := range s.Seen.Objects {
				if other == o {
					key = k
				}
			}
			if got := orphans.Fault(s.Pair, key, o); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestNothingIsMadeUpWhileAnotherSecretIsInTheWay(t *testing.T) {
	s := orphaned(t, nil)
	delete(s.Seen.Secret.Annotations, objects.AnnotationApplied)
	delete(s.Seen.Objects, objects.Key{Kind: objects.KindDeployment, Name: "sunday-primary"})
	plan := s.decide()
	if !plan.KeepsFollowing || len(plan.Follow) > 0 || len(written(plan)) > 0 {
		t.Errorf("keeps following %v, follows %v, writes %v", plan.KeepsFollowing, plan.Follow, written(plan))
	}
	status, _ := s.report()
	ready := status.Conditions[0]
	for _, want := range []string{"Secret sunday-keys (it has no annotation media.streampair.dev/applied)", "Before you delete Secret sunday-keys, keep a copy"} {
		if !strings.Contains(ready.Message, want) {
			t.Errorf("Ready does not say %q: %s", want, ready.Message)
		}
	}
}

func TestTheKeysOfAnOrphanAreUsedAtOnce(t *testing.T) {
	s := orphaned(t, nil)
	keys := keys.From(s.Seen.Secret.Data)
	for _, target := range s.decide().Follow {
		if target.Token != keys.ClusterToken {
			t.Error("a pod is followed with another token")
		}
	}
	if n := len(s.decide().Follow); n != 2 {
		t.Errorf("%d pods are followed", n)
	}
}

// An orphaned Service that the spec no longer needs
// may have a load balancer, which costs money.
func TestAnObsoleteOrphanIsAdoptedToBeDeleted(t *testing.T) {
	s := orphaned(t, func(spec *v1alpha1.StreamPairSpec) { spec.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer })
	s.Pair.Spec.Exposure.WebRTC.Type = v1alpha1.ExposureClusterIP
	if got := adopted(s.decide()); !slices.Contains(got, "Service sunday-primary-media-tcp") {
		t.Errorf("adopted %v", got)
	}
	s.Service("sunday-primary-media-tcp").OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s.Pair, v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))}
	if plan := s.decide(); len(plan.Deletes) != 1 || plan.Deletes[0].GetName() != "sunday-primary-media-tcp" {
		t.Errorf("deletes %v", plan.Deletes)
	}
}

// A host network that somebody added to both legs is removed from one leg after the other.
func TestWhatIsTakenOutOfAdoptedPodsFollowsTheOrderOfARollout(t *testing.T) {
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
	s.Seen.Turn = true
	want := newDesired(s.Pair, s.Settings)
	for i, role := range objects.Roles() {
		live := s.Seen.Deployment(s.Pair, role)
		live.Annotations[objects.AnnotationApplied] = objects.AppliedByAdoption
		live.Spec.Template.Spec.HostNetwork = true
		if !want.needsAdoptionDryRun(want.deployments[i], live) {
			t.Fatalf("the %s is not looked at", role)
		}
		made := live.DeepCopy()
		made.Spec.Template.Spec.HostNetwork = false
		want.noteAdoptionDryRun(want.deployments[i], live, made)
		if want.needsAdoptionDryRun(want.deployments[i], live) {
			t.Errorf("the server is asked again about the %s", role)
		}
	}
	written := func() []string {
		plan := s.decideWith(want)
		return replacedLegs(plan)
	}
	if diff := cmp.Diff([]string{"sunday-backup"}, written()); diff != "" {
		t.Errorf("replaced first (-want +got):\n%s", diff)
	}
	// The apply went through, but the Deployment's controller has not acted yet.
	backup := s.Seen.Deployment(s.Pair, roleBackup)
	backup.Annotations[objects.AnnotationApplied] = want.deployments[1].Annotation(objects.AnnotationApplied)
	backup.Spec.Template.Spec.HostNetwork = false
	backup.Generation, backup.Status = 2, appsv1.DeploymentStatus{ObservedGeneration: 1, UpdatedReplicas: 1}
	if legs := written(); len(legs) > 0 {
		t.Errorf("replaced %v while the pod of the other leg is about to be", legs)
	}
	backup.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, UpdatedReplicas: 1}
	if diff := cmp.Diff([]string{"sunday-primary"}, written()); diff != "" {
		t.Errorf("replaced next (-want +got):\n%s", diff)
	}
}

func TestASecretOfAnEarlierOperatorIsMarkedAndKeepsItsKeys(t *testing.T) {
	s := newScene(t, nil)
	delete(s.Seen.Secret.Annotations, objects.AnnotationApplied)
	plan := s.decide()
	if diff := cmp.Diff([]string{"apply Secret sunday-keys"}, written(plan)); diff != "" {
		t.Fatalf("writes (-want +got):\n%s", diff)
	}
	made := s.Live(plan.Writes[0].Object.Object).(*corev1.Secret)
	if !keys.IsMarked(made) || !cmp.Equal(made.Data, s.Seen.Secret.Data) {
		t.Errorf("marked %v, the same keys %v", keys.IsMarked(made), cmp.Equal(made.Data, s.Seen.Secret.Data))
	}
}
