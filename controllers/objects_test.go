package controllers

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

// testSettings are an operator's that allows everything.
var testSettings = ObjectSettings{
	DefaultImage:      "registry.example.com/streampair-mediaserver:1.0",
	Version:           "1.0",
	AllowPodImages:    true,
	OperatorNamespace: "streampair-system",
	OperatorLabels:    map[string]string{"app.kubernetes.io/name": "streampair-operator"},
}

// Each testdata/objects/NAME.pair.yaml gives NAME.golden.yaml.
func TestObjectsAreThoseOfTheGoldenFiles(t *testing.T) {
	for name, pair := range samplePairs(t) {
		t.Run(name, func(t *testing.T) { compareGolden(t, name, Objects(pair, testSettings)) })
	}
}

// The smallest pair where the cluster chooses the user, and two namespaces scrape.
func TestObjectsOnOpenShiftAreThoseOfTheGoldenFile(t *testing.T) {
	settings := testSettings
	settings.ClusterChoosesUser = true
	settings.MetricsNamespaces = []string{"openshift-monitoring", "openshift-user-workload-monitoring"}
	compareGolden(t, "openshift", Objects(samplePairs(t)["smallest"], settings))
}

func compareGolden(t *testing.T, name string, objects []Object) {
	t.Helper()
	var got bytes.Buffer
	for _, object := range objects {
		got.WriteString("---\n")
		got.Write(objectYAML(t, object))
	}
	file := filepath.Join("testdata", "objects", name+".golden.yaml")
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
	for name, pair := range samplePairs(t) {
		before := pair.DeepCopy()
		first := Objects(pair, testSettings)
		for range 20 {
			again := Objects(pair, testSettings)
			for i := range again {
				if diff := cmp.Diff(string(objectYAML(t, first[i])), string(objectYAML(t, again[i]))); diff != "" {
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
	pair := samplePairs(t)["complete"]
	settings := testSettings
	for allowed, want := range map[bool]string{
		true:  "registry.example.com/streampair-mediaserver:custom",
		false: "registry.example.com/streampair-mediaserver:1.0",
	} {
		settings.AllowPodImages = allowed
		for _, d := range deploymentsOf(t, Objects(pair, settings)) {
			if got := d.Spec.Template.Spec.Containers[0].Image; got != want {
				t.Errorf("allowed %v: image %q, want %q", allowed, got, want)
			}
		}
	}
}

func TestTheOperatorsSettingsReachTheObjects(t *testing.T) {
	settings := testSettings
	settings.MaxViewers = 250
	settings.OperatorNamespace = ""
	settings.MetricsNamespaces = []string{"monitoring"}
	objects := Objects(samplePairs(t)["smallest"], settings)
	for _, d := range deploymentsOf(t, objects) {
		if args := strings.Join(d.Spec.Template.Spec.Containers[0].Args, " "); !strings.Contains(args, "--max-viewers=250") {
			t.Errorf("%s: no --max-viewers=250 in %s", d.Name, args)
		}
	}
	policy := string(objectYAML(t, find(t, objects, KindNetworkPolicy, "sunday")))
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
	for name, pair := range samplePairs(t) {
		var got v1alpha1.StreamPair
		if err := yaml.UnmarshalStrict(Manifest(pair), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := v1alpha1.StreamPair{TypeMeta: pair.TypeMeta, Spec: pair.DeepCopy().Spec}
		want.Name, want.Namespace = pair.Name, pair.Namespace
		want.Annotations = map[string]string{v1alpha1.AnnotationConfigGeneration: itoa(pair.Generation)}
		want.Default()
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
		{"a pause", func(p *v1alpha1.StreamPair) { p.Spec.Paused = true }, false},
		{"the update policy", func(p *v1alpha1.StreamPair) { p.Spec.MediaServer.UpdatePolicy = "" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := samplePairs(t)["complete"]
			after := before.DeepCopy()
			test.change(after)
			for _, role := range Roles() {
				name := DeploymentName(before.Name, role)
				was := find(t, Objects(before, testSettings), KindDeployment, name).TemplateHash()
				is := find(t, Objects(after, testSettings), KindDeployment, name).TemplateHash()
				if was == "" || (was != is) != test.replaced {
					t.Errorf("%s: hash %s, then %s; want a change: %v", role, was, is, test.replaced)
				}
			}
		})
	}
}

func TestServicesThatAnEarlierSpecLeftAreObsolete(t *testing.T) {
	pairs := samplePairs(t)
	split := Objects(pairs["loadbalancer"], testSettings)
	if got := Obsolete(pairs["loadbalancer"]); len(got) > 0 {
		t.Errorf("obsolete while in use: %v", got)
	}
	for name, pair := range pairs {
		if name == "loadbalancer" || name == "long-name" {
			continue
		}
		now := map[ObjectKey]bool{}
		for _, object := range Objects(pair, testSettings) {
			now[object.Key()] = true
		}
		var left []ObjectKey
		for _, object := range split {
			if !now[object.Key()] {
				left = append(left, object.Key())
			}
		}
		if diff := cmp.Diff(left, Obsolete(pair)); diff != "" {
			t.Errorf("%s: -left over +obsolete:\n%s", name, diff)
		}
	}
}

// samplePairs are those of testdata/objects, without the defaults that an API server sets.
func samplePairs(t *testing.T) map[string]*v1alpha1.StreamPair {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "objects", "*.pair.yaml"))
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d pairs: %v", len(files), err)
	}
	pairs := map[string]*v1alpha1.StreamPair{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pair := &v1alpha1.StreamPair{}
		if err := yaml.UnmarshalStrict(text, pair); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		defaulted := pair.DeepCopy()
		defaulted.Default()
		if errs := defaulted.Validate(); len(errs) > 0 {
			t.Fatalf("%s: %v", file, errs)
		}
		pairs[strings.TrimSuffix(filepath.Base(file), ".pair.yaml")] = pair
	}
	return pairs
}

func objectYAML(t *testing.T, object Object) []byte {
	t.Helper()
	text, err := yaml.Marshal(object.Config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// typed returns the object as the API knows it; a field that does not exist is an error.
func typed[T any](t *testing.T, object Object) *T {
	t.Helper()
	text, err := json.Marshal(object.Config)
	if err != nil {
		t.Fatal(err)
	}
	into := new(T)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s %s: %v", object.Kind, object.Name, err)
	}
	return into
}

func find(t *testing.T, objects []Object, kind, name string) Object {
	t.Helper()
	for _, object := range objects {
		if object.Kind == kind && object.Name == name {
			return object
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return Object{}
}

func deploymentsOf(t *testing.T, objects []Object) []*appsv1.Deployment {
	t.Helper()
	var found []*appsv1.Deployment
	for _, object := range objects {
		if object.Kind == KindDeployment {
			found = append(found, typed[appsv1.Deployment](t, object))
		}
	}
	if len(found) != 2 {
		t.Fatalf("%d Deployments", len(found))
	}
	return found
}
