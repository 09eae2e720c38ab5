package objects_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

func TestEveryObjectBelongsToThePair(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		pairKeys, err := keys.New(time.Now(), pair)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[objects.Key]bool{}
		for _, object := range append(objects.Of(pair, objectstest.Settings()), keys.Object(pair, pairKeys)) {
			if seen[object.Key()] {
				t.Errorf("%s: %v twice", name, object.Key())
			}
			seen[object.Key()] = true
			got := objectstest.Metadata(t, object)
			if got.Kind != object.Kind || got.Name != object.Name || got.Namespace != pair.Namespace {
				t.Errorf("%s: %v is %s %s/%s", name, object.Key(), got.Kind, got.Namespace, got.Name)
			}
			if !metav1.IsControlledBy(got, pair) || !*got.OwnerReferences[0].BlockOwnerDeletion {
				t.Errorf("%s: %v is not controlled by the pair: %v", name, object.Key(), got.OwnerReferences)
			}
			want := objects.PairLabels(pair.Name)
			if role := got.Labels[v1alpha1.LabelRole]; role != "" {
				want[v1alpha1.LabelRole] = role
			}
			if diff := cmp.Diff(want, got.Labels); diff != "" {
				t.Errorf("%s: %v: labels -want +got:\n%s", name, object.Key(), diff)
			}
			for key, value := range got.Labels {
				if errs := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(errs) > 0 {
					t.Errorf("%s: %v: label %s=%s: %v", name, object.Key(), key, value, errs)
				}
			}
			object.SetUID("of-the-one-there")
			if got := objectstest.Metadata(t, object); got.UID != "of-the-one-there" {
				t.Errorf("%s: %v: UID %q", name, object.Key(), got.UID)
			}
		}
	}
}

func TestNamesFitAndKeepPairsApart(t *testing.T) {
	long := strings.Repeat("a", v1alpha1.MaxNameLength-1)
	seen := map[objects.Key]string{}
	for _, name := range []string{"a", "sunday", long + "b", long + "c", long[:45] + "-b", long[:44] + "---b"} {
		pair := objectstest.Pairs(t)["loadbalancer"]
		pair.Name = name
		pairKeys, err := keys.New(time.Now(), pair)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range append(objects.Of(pair, objectstest.Settings()), keys.Object(pair, pairKeys)) {
			if errs := validation.IsDNS1035Label(object.Name); len(errs) > 0 {
				t.Errorf("%s %q (%d characters): %v", object.Kind, object.Name, len(object.Name), errs)
			}
			if other, taken := seen[object.Key()]; taken {
				t.Errorf("pairs %s and %s both have %v", name, other, object.Key())
			}
			seen[object.Key()] = name
			if len(name) <= 45 && !strings.HasPrefix(object.Name, name) {
				t.Errorf("%q does not begin with the pair's name", object.Name)
			}
		}
	}
}

// No object but the Secret contains a token, password or key, whether
// generated or a user's. The operator never reads a user's Secret.
func TestNoObjectButTheSecretHoldsASecret(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		for _, auth := range []v1alpha1.PlaybackAuth{v1alpha1.PlaybackToken, v1alpha1.PlaybackJWT} {
			pair.Spec.Playback.Auth = auth
			pairKeys, err := keys.New(time.Now(), pair)
			if err != nil {
				t.Fatal(err)
			}
			secret := string(objectstest.YAML(t, keys.Object(pair, pairKeys)))
			if !strings.Contains(secret, "clusterToken: ") {
				t.Fatalf("not a Secret: %s", secret)
			}
			for _, object := range objects.Of(pair, objectstest.Settings()) {
				text := string(objectstest.YAML(t, object))
				for key, value := range pairKeys.Data() {
					if strings.Contains(text, string(value)) {
						t.Errorf("%s: %v holds %s", name, object.Key(), key)
					}
				}
			}
		}
	}
}

func TestEveryServiceFindsItsPodsAndTheirPorts(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		all := objects.Of(pair, objectstest.Settings())
		deployments := objectstest.Deployments(t, all)
		for _, object := range all {
			if object.Kind != objects.KindService {
				continue
			}
			service := objectstest.Typed[corev1.Service](t, object)
			var selected []string
			for _, d := range deployments {
				if !selects(service.Spec.Selector, d) {
					continue
				}
				selected = append(selected, d.Labels[v1alpha1.LabelRole])
				for _, port := range service.Spec.Ports {
					if !serves(d, port) {
						t.Errorf("%s: %s: no container of %s has %v", name, service.Name, d.Name, port)
					}
				}
			}
			want := []string{"primary", "backup"}
			if role := service.Labels[v1alpha1.LabelRole]; role != "" {
				want = []string{role}
			}
			if diff := cmp.Diff(want, selected); diff != "" {
				t.Errorf("%s: %s: -want +selected:\n%s", name, service.Name, diff)
			}
			for _, port := range service.Spec.Ports {
				if port.Protocol == "" || port.NodePort != 0 {
					t.Errorf("%s: %s: port without protocol or with a node port: %v", name, service.Name, port)
				}
			}
		}
	}
}

func TestThePodsOfAPairAreCoveredByItsPolicies(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		all := objects.Of(pair, objectstest.Settings())
		budget := objectstest.Typed[policyv1.PodDisruptionBudget](t, objectstest.Find(t, all, objects.KindPodDisruptionBudget, pair.Name))
		network := objectstest.Typed[networkingv1.NetworkPolicy](t, objectstest.Find(t, all, objects.KindNetworkPolicy, pair.Name))
		deployments := objectstest.Deployments(t, all)
		for i, d := range deployments {
			if !selects(budget.Spec.Selector.MatchLabels, d) || !selects(network.Spec.PodSelector.MatchLabels, d) {
				t.Errorf("%s: %s is not covered", name, d.Name)
			}
			if !selects(d.Spec.Selector.MatchLabels, d) || selects(d.Spec.Selector.MatchLabels, deployments[1-i]) {
				t.Errorf("%s: %s does not select its own pods alone", name, d.Name)
			}
			admitted := map[string]bool{}
			for _, rule := range network.Spec.Ingress {
				for _, port := range rule.Ports {
					admitted[port.Port.String()+string(*port.Protocol)] = true
				}
			}
			for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
				if !admitted[strconv.Itoa(int(port.ContainerPort))+string(port.Protocol)] {
					t.Errorf("%s: %s: the network policy admits nobody to %v", name, d.Name, port)
				}
			}
		}
	}
}

func TestTheFilesThatThePodReadsAreMounted(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		for _, d := range objectstest.Deployments(t, objects.Of(pair, objectstest.Settings())) {
			files := map[string]bool{"/etc/streampair/config/pair.yaml": true, "/etc/streampair/secrets": true}
			volumes := map[string]corev1.Volume{}
			for _, volume := range d.Spec.Template.Spec.Volumes {
				volumes[volume.Name] = volume
			}
			for _, mount := range d.Spec.Template.Spec.Containers[0].VolumeMounts {
				if mount.SubPath != "" || !mount.ReadOnly {
					t.Errorf("%s: %s: mount %v", name, d.Name, mount)
				}
				volume := volumes[mount.Name]
				var items []corev1.KeyToPath
				if volume.Secret != nil {
					items = volume.Secret.Items
				}
				if volume.Projected != nil {
					for _, source := range volume.Projected.Sources {
						items = append(items, source.Secret.Items...)
					}
				}
				for _, item := range items {
					file := mount.MountPath + "/" + item.Path
					if files[file] {
						t.Errorf("%s: %s: %s is mounted twice", name, d.Name, file)
					}
					files[file] = true
				}
			}
			for _, arg := range d.Spec.Template.Spec.Containers[0].Args {
				if _, value, _ := strings.Cut(arg, "="); strings.HasPrefix(value, "/") && !files[value] {
					t.Errorf("%s: %s: %s: no such file in %v", name, d.Name, arg, files)
				}
			}
			spec := objects.WithDefaults(pair).Spec
			for ref, keys := range map[*v1alpha1.SecretReference][]string{
				spec.Publish.TokenSecretRef:  {"publishToken"},
				spec.Playback.TokenSecretRef: {"playToken", "jwtKey"},
			} {
				for _, key := range keys {
					if ref != nil && !files["/etc/streampair/secrets/"+ref.Name+"/"+key] {
						t.Errorf("%s: %s: %s of %s is not mounted", name, d.Name, key, ref.Name)
					}
				}
			}
		}
	}
}

// One Secret may serve all purposes, although a projected volume refuses two files of one path.
func TestOneSecretMayServeForAll(t *testing.T) {
	pair := objectstest.Pairs(t)["complete"]
	one := &v1alpha1.SecretReference{Name: objects.KeysSecretName(pair.Name)} // not wise, but the user's to say
	pair.Spec.Publish.TokenSecretRef, pair.Spec.Playback.TokenSecretRef = one, one
	for i := range pair.Spec.MediaServer.ICEServers {
		pair.Spec.MediaServer.ICEServers[i].CredentialSecretRef = one
	}
	for _, d := range objectstest.Deployments(t, objects.Of(pair, objectstest.Settings())) {
		paths := map[string]int{}
		for _, source := range d.Spec.Template.Spec.Volumes[1].Projected.Sources {
			for _, item := range source.Secret.Items {
				paths[item.Path]++
			}
		}
		want := map[string]int{}
		for _, key := range []string{"clusterToken", "control.crt", "control.key", "publishToken", "playToken", "jwtKey", "username", "credential"} {
			want["sunday-keys/"+key] = 1
		}
		if diff := cmp.Diff(want, paths); diff != "" {
			t.Errorf("%s: -want +got:\n%s", d.Name, diff)
		}
	}
}

func TestPodsPassPodSecurityRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range objectstest.Pairs(t) {
		for _, d := range objectstest.Deployments(t, objects.Of(pair, objectstest.Settings())) {
			template := d.Spec.Template
			judge := func(level podsecurity.Level) policy.AggregateCheckResult {
				version := podsecurity.LevelVersion{Level: level, Version: podsecurity.LatestVersion()}
				return policy.AggregateCheckResults(evaluator.EvaluatePod(version, &template.ObjectMeta, &template.Spec))
			}
			result := judge(podsecurity.LevelRestricted)
			want := ""
			if pair.Spec.Exposure.WebRTC.Type == v1alpha1.ExposureHostPort {
				want = "hostPort"
			}
			if got := strings.Join(result.ForbiddenReasons, ", "); got != want {
				t.Errorf("%s: %s: refused for %q, want %q: %s", name, d.Name, got, want, result.ForbiddenDetail())
			}
		}
	}
}

func TestARolloutStandsStillNoLongerThanItMust(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		for _, d := range objectstest.Deployments(t, objects.Of(pair, objectstest.Settings())) {
			grace := *d.Spec.Template.Spec.TerminationGracePeriodSeconds
			if grace <= int64(*objects.WithDefaults(pair).Spec.MediaServer.DrainTimeoutSeconds) {
				t.Errorf("%s: %s is killed after %d s, while it drains", name, d.Name, grace)
			}
			if deadline := *d.Spec.ProgressDeadlineSeconds; int64(deadline) <= grace {
				t.Errorf("%s: %s has %d s for a rollout whose first step may take %d s", name, d.Name, deadline, grace)
			}
		}
	}
}

func selects(selector map[string]string, d *appsv1.Deployment) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(d.Spec.Template.Labels))
}

func serves(d *appsv1.Deployment, port corev1.ServicePort) bool {
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		if p.Protocol == port.Protocol && p.ContainerPort == port.TargetPort.IntVal {
			return true
		}
	}
	return false
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Draining a node may evict a pod that is not ready, but never the only ready pod.
// A budget that no pod can meet would raise an alert as long as a pair is paused.
func TestABudgetAsksForAPodOfPairsThatHaveSome(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		for paused, want := range map[bool]int{false: 1, true: 0} {
			pair.Spec.Paused = paused
			budget := objectstest.Typed[policyv1.PodDisruptionBudget](t, objectstest.Find(t, objects.Of(pair, objectstest.Settings()), objects.KindPodDisruptionBudget, pair.Name))
			if got := budget.Spec.MinAvailable.IntValue(); got != want {
				t.Errorf("%s, paused %v: %d pods must be available, want %d", name, paused, got, want)
			}
			if policy := budget.Spec.UnhealthyPodEvictionPolicy; policy == nil || *policy != policyv1.AlwaysAllow {
				t.Errorf("%s, paused %v: a pod that is not ready may hold up a drain", name, paused)
			}
		}
	}
}

// Every namespace has a ServiceAccount "default", which all pods without another account use.
func TestAPairNamedDefaultLeavesTheAccountDefaultAlone(t *testing.T) {
	pair := objectstest.Pairs(t)["smallest"]
	pair.Name = "default"
	all := objects.Of(pair, objectstest.Settings())
	for _, object := range all {
		if object.Kind == objects.KindServiceAccount && object.Name == "default" {
			t.Error("the pair claims the ServiceAccount default")
		}
	}
	for _, d := range objectstest.Deployments(t, all) {
		if account := d.Spec.Template.Spec.ServiceAccountName; account != "default-media-server" {
			t.Errorf("the pods' account is %q", account)
		}
	}
}
