package objects_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

var update = flag.Bool("update", false, "write the golden files")

// Each pair NAME of package objectstest has the golden file testdata/NAME.golden.yaml.
func TestObjectsAreThoseOfTheGoldenFiles(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		t.Run(name, func(t *testing.T) { compareGolden(t, name, objects.Of(pair, objectstest.Settings())) })
	}
}

// This is the smallest pair on a cluster that chooses
// the user, with two namespaces that scrape metrics.
func TestObjectsOnOpenShiftAreThoseOfTheGoldenFile(t *testing.T) {
	settings := objectstest.Settings()
	settings.ClusterChoosesUser = true
	settings.MetricsNamespaces = []string{"openshift-monitoring", "openshift-user-workload-monitoring"}
	compareGolden(t, "openshift", objects.Of(objectstest.Pairs(t)["smallest"], settings))
}

func compareGolden(t *testing.T, name string, objects []objects.Object) {
	t.Helper()
	var got bytes.Buffer
	for _, object := range objects {
		got.WriteString("---\n")
		got.Write(objectstest.YAML(t, object))
	}
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (-update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the objects changed (-update writes the file) -want +got:\n%s", diff)
	}
}

func TestObjectsAreTheSameEachTimeAndLeaveThePairAlone(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		before := pair.DeepCopy()
		first := objects.Of(pair, objectstest.Settings())
		for range 20 {
			again := objects.Of(pair, objectstest.Settings())
			for i := range again {
				if diff := cmp.Diff(string(objectstest.YAML(t, first[i])), string(objectstest.YAML(t, again[i]))); diff != "" {
					t.Fatalf("%s: -first +again:\n%s", name, diff)
				}
			}
		}
		if diff := cmp.Diff(before, pair); diff != "" {
			t.Errorf("%s: the pair was changed:\n%s", name, diff)
		}
	}
}

func TestAnImageIsChosenByThePairOnlyWhereAllowed(t *testing.T) {
	pair := objectstest.Pairs(t)["complete"]
	settings := objectstest.Settings()
	for allowed, want := range map[bool]string{
		true:  "registry.example.com/streampair-mediaserver:custom",
		false: "registry.example.com/streampair-mediaserver:1.0",
	} {
		settings.AllowPodImages = allowed
		for _, d := range objectstest.Deployments(t, objects.Of(pair, settings)) {
			if got := d.Spec.Template.Spec.Containers[0].Image; got != want {
				t.Errorf("allowed %v: image %q, want %q", allowed, got, want)
			}
		}
	}
}

func TestTheOperatorsSettingsReachTheObjects(t *testing.T) {
	settings := objectstest.Settings()
	settings.MaxViewers, settings.MaxEgressMegabits = 250, 10_000
	settings.OperatorNamespace = ""
	settings.MetricsNamespaces = []string{"monitoring"}
	all := objects.Of(objectstest.Pairs(t)["smallest"], settings)
	for _, d := range objectstest.Deployments(t, all) {
		if args := strings.Join(d.Spec.Template.Spec.Containers[0].Args, " "); !strings.Contains(args, "--max-viewers=250") {
			t.Errorf("%s: no --max-viewers=250 in %s", d.Name, args)
		}
		egress := corev1.EnvVar{Name: "MAX_EGRESS", Value: "10000"}
		if env := d.Spec.Template.Spec.Containers[0].Env; !slices.Contains(env, egress) {
			t.Errorf("%s has no MAX_EGRESS: %v", d.Name, env)
		}
	}
	policy := string(objectstest.YAML(t, objectstest.Find(t, all, objects.KindNetworkPolicy, "sunday")))
	want := `  ingress:
  - ports:
    - port: 1935
      protocol: TCP
    - port: 1936
      protocol: TCP
    - port: 5080
      protocol: TCP
    - port: 5443
      protocol: TCP
    - port: 8189
      protocol: TCP
    - port: 8189
      protocol: UDP
    - port: 9093
      protocol: TCP
  - from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: monitoring
    ports:
    - port: 9090
      protocol: TCP
  - ports:
    - port: 9091
      protocol: TCP
`
	if !strings.Contains(policy, want) {
		t.Errorf("got %s\nwant within it %s", policy, want)
	}
}

func TestTheManifestIsThePairByReference(t *testing.T) {
	for name, pair := range objectstest.Pairs(t) {
		var got v1alpha1.StreamPair
		if err := yaml.UnmarshalStrict(objects.Manifest(pair), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := v1alpha1.StreamPair{TypeMeta: pair.TypeMeta, Spec: pair.DeepCopy().Spec}
		want.Name, want.Namespace, want.UID = pair.Name, pair.Namespace, pair.UID
		want.Annotations = map[string]string{v1alpha1.AnnotationConfigGeneration: itoa(pair.Generation)}
		want.Default()
		want.Spec.Exposure.SRT = nil // it is a variable of the pods
		if want.Spec.Publish.TokenSecretRef == nil {
			want.Spec.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: "sunday-keys"}
			if name == "long-name" {
				want.Spec.Publish.TokenSecretRef.Name = pair.Name + "-keys"
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if errs := got.Validate(); len(errs) > 0 {
			t.Errorf("%s: a media server would refuse it: %v", name, errs)
		}
	}
}

func TestThePodsAreReplacedOnlyForWhatNeedsIt(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(*v1alpha1.StreamPair)
		replaced bool
	}{
		{"a stream id", func(p *v1alpha1.StreamPair) { p.Spec.Backup.StreamID = "other" }, true},
		{"the app", func(p *v1alpha1.StreamPair) { p.Spec.App = "other" }, true},
		{"the image", func(p *v1alpha1.StreamPair) { p.Spec.MediaServer.Image = "other" }, true},
		{"the resources", func(p *v1alpha1.StreamPair) {
			p.Spec.MediaServer.Resources.Limits = corev1.ResourceList{}
		}, true},
		{"a certificate comes into use", func(p *v1alpha1.StreamPair) { p.Spec.Playback.TLSSecretName = "other" }, true},
		{"the drain time", func(p *v1alpha1.StreamPair) { p.Spec.MediaServer.DrainTimeoutSeconds = new(int32(1)) }, true},
		{"nothing but the generation", func(p *v1alpha1.StreamPair) { p.Generation++ }, false},
		{"the failover policy", func(p *v1alpha1.StreamPair) { p.Spec.Failover = v1alpha1.Failover{} }, false},
		{"a pin", func(p *v1alpha1.StreamPair) { p.Spec.Failover.Select = v1alpha1.SelectBackup }, false},
		{"the external URL", func(p *v1alpha1.StreamPair) { p.Spec.Playback.ExternalURL = "" }, false},
		{"who may play", func(p *v1alpha1.StreamPair) { p.Spec.Playback.Auth = v1alpha1.PlaybackToken }, false},
		{"who may publish", func(p *v1alpha1.StreamPair) { p.Spec.Publish.Auth = v1alpha1.PublishNone }, false},
		{"the tokens", func(p *v1alpha1.StreamPair) { p.Spec.Publish.TokenGeneration++ }, false},
		{"the exposure", func(p *v1alpha1.StreamPair) { p.Spec.Exposure.RTMP.Type = v1alpha1.ExposureNodePort }, false},
		{"SRT", func(p *v1alpha1.StreamPair) { p.Spec.Exposure.SRT = &v1alpha1.ServiceExposure{} }, true},
		{"a pause", func(p *v1alpha1.StreamPair) { p.Spec.Paused = true }, false},
		{"the update policy", func(p *v1alpha1.StreamPair) { p.Spec.MediaServer.UpdatePolicy = "" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := objectstest.Pairs(t)["complete"]
			after := before.DeepCopy()
			test.change(after)
			for _, role := range objects.Roles() {
				name := objects.DeploymentName(before.Name, role)
				was := objectstest.Find(t, objects.Of(before, objectstest.Settings()), objects.KindDeployment, name).TemplateHash()
				is := objectstest.Find(t, objects.Of(after, objectstest.Settings()), objects.KindDeployment, name).TemplateHash()
				if was == "" || (was != is) != test.replaced {
					t.Errorf("%s: hash %s, then %s; want a change: %v", role, was, is, test.replaced)
				}
			}
		})
	}
}

func TestServicesThatAnEarlierSpecLeftAreObsolete(t *testing.T) {
	pairs := objectstest.Pairs(t)
	most := pairs["loadbalancer"].DeepCopy()
	most.Spec.Exposure.SRT = &v1alpha1.ServiceExposure{}
	split := objects.Of(most, objectstest.Settings())
	if got := objects.Obsolete(most); len(got) > 0 {
		t.Errorf("obsolete while in use: %v", got)
	}
	for name, pair := range pairs {
		if name == "long-name" {
			continue
		}
		now := map[objects.Key]bool{}
		for _, object := range objects.Of(pair, objectstest.Settings()) {
			now[object.Key()] = true
		}
		var left []objects.Key
		for _, object := range split {
			if !now[object.Key()] {
				left = append(left, object.Key())
			}
		}
		if diff := cmp.Diff(left, objects.Obsolete(pair)); diff != "" {
			t.Errorf("%s: -left over +obsolete:\n%s", name, diff)
		}
	}
}

func TestKeySetsReachThePods(t *testing.T) {
	settings := objectstest.Settings()
	settings.JWKSNetworks, settings.NoViewerReports = []string{"10.96.0.0/12", "fd00::/8"}, true
	pair := objectstest.Pairs(t)["smallest"]
	pair.Spec.MediaServer.Egress = v1alpha1.EgressRestricted
	plain := objects.Of(pair, settings)
	pair = pair.DeepCopy()
	pair.Spec.Playback.Auth = v1alpha1.PlaybackJWT
	pair.Spec.Playback.JWKS = &v1alpha1.JWKS{URL: "https://login.example.com:8443/keys"}
	pair.Spec.Publish.JWKS = &v1alpha1.JWKS{SecretRef: &v1alpha1.SecretReference{Name: "signers"}}
	for _, tt := range []struct {
		name    string
		objects []objects.Object
		want    bool
	}{
		{"without key sets", plain, false},
		{"with key sets", objects.Of(pair, settings), true},
	} {
		for _, d := range objectstest.Deployments(t, tt.objects) {
			env := d.Spec.Template.Spec.Containers[0].Env
			networks, reports := corev1.EnvVar{Name: "JWKS_NETWORKS", Value: "10.96.0.0/12,fd00::/8"}, corev1.EnvVar{Name: "NO_VIEWER_REPORTS", Value: "true"}
			if slices.Contains(env, networks) != tt.want || !slices.Contains(env, reports) {
				t.Errorf("%s: %s has the variables %v", tt.name, d.Name, env)
			}
			if text := string(objectstest.YAML(t, objectstest.Find(t, tt.objects, objects.KindDeployment, d.Name))); strings.Contains(text, "signers/jwks") != tt.want {
				t.Errorf("%s: the key set of the Secret is mounted by %s: %v", tt.name, d.Name, !tt.want)
			}
		}
		policy := string(objectstest.YAML(t, objectstest.Find(t, tt.objects, objects.KindNetworkPolicy, pair.Name)))
		if strings.Contains(policy, "port: 8443") != tt.want {
			t.Errorf("%s: %s", tt.name, policy)
		}
	}
}
