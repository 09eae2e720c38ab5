package v1alpha1

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const samples = "../../config/samples"

func TestSamplesAreAccepted(t *testing.T) {
	d := loadDefinition(t)
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]string{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, text := range documents(t, file) {
				var pair StreamPair
				object := map[string]any{
					Kind: &pair, "Secret": &corev1.Secret{}, "Ingress": &networkingv1.Ingress{}, "Kustomization": &kustomization{}, "HTTPRoute": &httpRoute{},
				}[kind(t, text)]
				if object == nil {
					t.Fatalf("a document of kind %q", kind(t, text))
				}
				if err := yaml.UnmarshalStrict(text, object); err != nil {
					t.Fatal(err)
				}
				if object != &pair {
					continue
				}
				if other, twice := pairs[pair.Name]; twice {
					t.Errorf("%s is also in %s: applying both would change one into the other", pair.Name, other)
				}
				pairs[pair.Name] = file
				sent, err := yaml.YAMLToJSON(text)
				if err != nil {
					t.Fatal(err)
				}
				if _, errs := d.judge(t, sent); errs != nil {
					t.Errorf("the definition: %v", errs.ToAggregate())
				}
				pair.Default()
				if errs := pair.Validate(); errs != nil {
					t.Errorf("Validate: %v", errs.ToAggregate())
				}
			}
		})
	}
	if len(pairs) < 9 {
		t.Errorf("only %d samples found", len(pairs))
	}
}

// httpRoute has the fields of gateway.networking.k8s.io/v1 HTTPRoute that samples use.
type httpRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ParentRefs []struct {
			Name string `json:"name"`
		} `json:"parentRefs"`
		Hostnames []string `json:"hostnames"`
		Rules     []struct {
			Matches []struct {
				Path struct {
					Type  string `json:"type"`
					Value string `json:"value"`
				} `json:"path"`
			} `json:"matches"`
			Timeouts struct {
				Request string `json:"request"`
			} `json:"timeouts"`
			BackendRefs []struct {
				Name string `json:"name"`
				Port int    `json:"port"`
			} `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

// kustomization is what the samples' one has.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Resources  []string `json:"resources"`
}

func TestTheSamplesKustomizationNamesEachSample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(samples, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" && !bytes.Contains(text, []byte("- "+name)) {
			t.Errorf("%s is not named, not even in a comment", name)
		}
	}
	var k kustomization
	if err := yaml.UnmarshalStrict(text, &k); err != nil {
		t.Fatal(err)
	}
	for _, resource := range k.Resources {
		if !slices.Contains(files, filepath.Join(samples, resource)) {
			t.Errorf("there is no %s", resource)
		}
	}
}

func TestTheCompleteSampleHasEveryField(t *testing.T) {
	var sample map[string]any
	if err := yaml.Unmarshal(documents(t, filepath.Join(samples, "streampair-complete.yaml"))[0], &sample); err != nil {
		t.Fatal(err)
	}
	// The surfaces are alike: a field that one of them shows need not be in the others. The same
	// holds for key sets.
	anySurface := strings.NewReplacer(".exposure.http.", ".exposure.*.", ".exposure.rtmp.", ".exposure.*.", ".exposure.srt.", ".exposure.*.", ".exposure.webrtc.", ".exposure.*.",
		".playback.jwks.", ".*.jwks.", ".publish.jwks.", ".*.jwks.")
	present := map[string]bool{}
	var look func(path string, value any)
	look = func(path string, value any) {
		present[anySurface.Replace(path)] = true
		switch value := value.(type) {
		case map[string]any:
			for name, v := range value {
				look(path+"."+name, v)
			}
		case []any:
			for _, v := range value {
				look(path+"[]", v)
			}
		}
	}
	look("", sample)

	fields := 0
	var walk func(path string, s *schema.Structural)
	walk = func(path string, s *schema.Structural) {
		for name, property := range s.Properties {
			at := path + "." + name
			fields++
			if !present[anySurface.Replace(at)] {
				t.Errorf("%s is missing", at)
			}
			if !slices.Contains([]string{"resources", "tolerations", "imagePullSecrets"}, name) {
				walk(at, &property)
			}
		}
		if s.Items != nil {
			walk(path+"[]", s.Items)
		}
	}
	spec := loadDefinition(t).structural.Properties["spec"]
	walk(".spec", &spec)
	t.Logf("%d fields", fields)
}

func documents(t *testing.T, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(text, []byte("\n---\n"))
}

func kind(t *testing.T, text []byte) string {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(object["kind"])
}
