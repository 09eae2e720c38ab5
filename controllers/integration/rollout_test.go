package integration_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// podNames returns the names of the pair's pods, by role.
func (w *world) podNames(pair string) map[string]string {
	w.t.Helper()
	pods := &corev1.PodList{}
	w.must(w.admin.List(w.t.Context(), pods, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.LabelPair: pair}))
	names := map[string]string{}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp.IsZero() {
			names[pod.Labels[v1alpha1.LabelRole]] = pod.Name
		}
	}
	return names
}

func TestAChangeIsRolledOneLegAfterTheOther(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	_, backup := k.publishBoth("sunday")
	before := w.podNames("sunday")

	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { seconds := int32(31); s.MediaServer.DrainTimeoutSeconds = &seconds })
	// The standby's pod goes together with its encoder.
	// The leg on air waits until both are back.
	w.waitFor("sunday", "Progressing=False/WaitingForStandbyPublisher", "OnAir=True/OnAir")
	<-backup.Gone
	if now := w.podNames("sunday"); now["primary"] != before["primary"] || now["backup"] == before["backup"] {
		t.Errorf("pods were %v and are %v", before, now)
	}
	k.publish("sunday", "backup", "backup")
	w.waitFor("sunday", "Progressing=False/UpToDate", "BackupLive=True/Live", "Ready=True/Ready")
	eventually.True(w.t, "the other leg replaced", func() bool { return w.podNames("sunday")["primary"] != before["primary"] })
	pair := w.waitFor("sunday", "OnAir=True/OnAir", "Ready=True/Ready", "Progressing=False/UpToDate")
	if a := pair.Status.ActiveStream; a.Role != v1alpha1.RoleBackup {
		t.Errorf("active is %+v", a)
	}
	t.Log(w.events("sunday"))
	// A pod that ends loses its legs, and a new one finds a picture. Viewers see neither.
	history := historyOf(pair)
	pictures := slices.DeleteFunc(slices.Clone(history), func(e string) bool { return strings.HasPrefix(e, "Redundan") })
	if want := []string{"Switched Backup", "OnAir Primary"}; !slices.Equal(want, pictures) {
		t.Errorf("a rollout has the history %q, want %q and changes of redundancy", history, want)
	}
	t.Log(history)
}

func TestNobodyPublishesSoAllIsRolledAtOnce(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
	before := w.podNames("sunday")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Primary.StreamID = "other" })
	eventually.True(w.t, "both replaced", func() bool {
		now := w.podNames("sunday")
		return len(now) == 2 && now["primary"] != before["primary"] && now["backup"] != before["backup"]
	})
	pair := w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate", "Converged=True/Converged")
	if !strings.Contains(pair.Status.PlaybackURL, "name=other&") || !strings.HasSuffix(pair.Status.Ingest[0].RTMP, "/live/other") {
		t.Errorf("URLs are %s and %s", pair.Status.PlaybackURL, pair.Status.Ingest[0].RTMP)
	}
}

func TestANewDefaultImageWaitsForAnIdleHour(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	encoder := k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "PrimaryLive=True/Live", "Progressing=False/UpToDate")
	before := w.podNames("sunday")
	w.stop()
	w.settings.Objects.DefaultImage = "media:2"
	w.start()
	w.waitFor("sunday", "Progressing=False/WaitingForIdle")
	if now := w.podNames("sunday"); now["primary"] != before["primary"] || now["backup"] != before["backup"] {
		t.Errorf("pods were %v and are %v", before, now)
	}
	encoder.Kill()
	eventually.True(w.t, "both replaced", func() bool {
		now := w.podNames("sunday")
		return len(now) == 2 && now["primary"] != before["primary"] && now["backup"] != before["backup"]
	})
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
}

// A policy of the cluster may rewrite what is applied, for example to a mirror of the registry.
func TestAPolicyThatRewritesImagesStallsNoRollout(t *testing.T) {
	w := newWorld(t)
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "mirror-" + w.namespace},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
				}}},
			},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: `object.spec.template.spec.containers[0].image.startsWith("mirror/") ? [] :
					[JSONPatch{op: "replace", path: "/spec/template/spec/containers/0/image",
						value: "mirror/" + object.spec.template.spec.containers[0].image}]`},
			}},
		},
	}
	w.must(w.admin.Create(t.Context(), policy))
	t.Cleanup(func() { _ = w.admin.Delete(context.Background(), policy) })
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: policy.Name},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: policy.Name},
	}
	w.must(w.admin.Create(t.Context(), binding))
	t.Cleanup(func() { _ = w.admin.Delete(context.Background(), binding) })
	image := func() string {
		d := &appsv1.Deployment{}
		if !w.get("sunday-primary", d) {
			return ""
		}
		return d.Spec.Template.Spec.Containers[0].Image
	}
	eventually.True(w.t, "the policy in force", func() bool {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "probe"}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a:1"}}},
			},
		}}
		w.must(w.admin.Create(t.Context(), d, client.DryRunAll))
		return d.Spec.Template.Spec.Containers[0].Image == "mirror/a:1"
	})

	w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
	if got := image(); got != "mirror/media:1" {
		t.Fatalf("the image is %s", got)
	}
	before := w.podNames("sunday")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { seconds := int32(31); s.MediaServer.DrainTimeoutSeconds = &seconds })
	eventually.True(w.t, "both replaced", func() bool {
		now := w.podNames("sunday")
		return len(now) == 2 && now["primary"] != before["primary"] && now["backup"] != before["backup"]
	})
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate", "Converged=True/Converged")
	w.waitUntilQuiet()

	// A restarted operator has not seen what the policy did.
	names, versions := w.podNames("sunday"), w.versions("sunday")
	w.stop()
	w.start()
	time.Sleep(2 * time.Second)
	w.touch("sunday")
	time.Sleep(time.Second)
	if diff := cmp.Diff(versions, w.versions("sunday")); diff != "" {
		t.Errorf("resource versions changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(names, w.podNames("sunday")); diff != "" {
		t.Errorf("pods changed (-before +after):\n%s", diff)
	}
}

func TestTheDeathOfAPodIsReported(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	k.publishBoth("sunday")
	began := time.Now()
	k.signal("sunday-primary", syscall.SIGKILL)
	eventually.True(w.t, "the backup active", func() bool {
		a := w.pair("sunday").Status.ActiveStream
		return a != nil && a.Role == v1alpha1.RoleBackup
	})
	t.Logf("status.activeStream changed %v after the pod was killed", time.Since(began).Round(time.Millisecond))
	w.waitFor("sunday", "Ready=False/PodsNotReady", "PrimaryLive=False/PodNotReady", "OnAir=True/OnAir", "Redundant=False/PrimaryNotLive")
	eventually.True(w.t, "the Event", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventFailedOver) })
}

func TestAPausedPairEndsItsPods(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Paused = true })
	eventually.True(w.t, "no pods", func() bool { return len(w.podNames("sunday")) == 0 })
	w.waitFor("sunday", "Ready=True/Paused", "Exposed=True/ClusterOnly")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Paused = false })
	w.waitFor("sunday", "Ready=True/Ready")
}

func TestAMissingRightIsReported(t *testing.T) {
	role, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(role), "  - secrets\n", "  - replicationcontrollers\n", 1)
	if text == string(role) {
		t.Fatal("the role says nothing of Secrets")
	}
	w := newWorld(t, func(w *world) { w.config = w.cluster.ServiceAccountConfig(w.t, w.namespace, "operator", text) })
	w.create("sunday", nil)
	pair := w.waitFor("sunday", "Ready=Unknown/ReadFailed")
	if text := describe(pair); !strings.Contains(text, "secrets") {
		t.Errorf("it does not say what is missing:\n%s", text)
	}
	version := pair.ResourceVersion
	time.Sleep(2 * time.Second)
	if again := w.pair("sunday").ResourceVersion; again != version {
		t.Error("it is written at each failure")
	}
}

// The manager only has the rights of its role, which is generated from the markers in the code.
func TestTheRoleIsEnough(t *testing.T) {
	for _, namespaced := range []bool{false, true} {
		t.Run(map[bool]string{false: "the cluster's", true: "a namespace's"}[namespaced], func(t *testing.T) {
			role, err := os.ReadFile("../../config/rbac/role.yaml")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, func(w *world) {
				text := string(role)
				if namespaced {
					w.settings.Namespaced = true
					text = strings.Replace(text, "kind: ClusterRole", "kind: Role", 1)
					text = strings.Replace(text, "  - nodes\n", "", 1)
				}
				w.config = w.cluster.ServiceAccountConfig(w.t, w.namespace, "operator", text)
			})
			w.runPods()
			w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.HTTP.Type, s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureLoadBalancer
			})
			w.waitFor("sunday", "Exposed=False/AddressPending", "Ready=False/NotExposed")
			eventually.True(w.t, "a Service for each protocol", func() bool { return w.get("sunday-primary-media-tcp", &corev1.Service{}) })
			w.change("sunday", func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort
				s.Publish.TokenGeneration = 1
			})
			eventually.True(w.t, "one Service", func() bool { return !w.get("sunday-primary-media-tcp", &corev1.Service{}) })
			pair := w.waitFor("sunday", "Ready=True/Ready", "Exposed=True/Exposed", "Converged=True/Converged")
			// With a Role in a namespace, the operator takes a node's address from the pods.
			if node := "http://192.0.2.1:"; strings.HasPrefix(pair.Status.PlaybackURL, node) == namespaced {
				t.Errorf("playback URL %s", pair.Status.PlaybackURL)
			}
		})
	}
}
