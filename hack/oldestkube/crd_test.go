package oldestkube

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

const (
	definition = "../../config/crd/bases/media.streampair.dev_streampairs.yaml"
	chart      = "../../charts/streampair/Chart.yaml"
	libraries  = "k8s.io/apiextensions-apiserver"
)

// read returns the definition as an API server has it.
func read(t *testing.T, text []byte) *apiextensions.CustomResourceDefinition {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	object, _, err := serializer.NewCodecFactory(scheme).UniversalDecoder(apiextensions.SchemeGroupVersion).Decode(text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	crd, ok := object.(*apiextensions.CustomResourceDefinition)
	if !ok {
		t.Fatalf("%T", object)
	}
	scheme.Default(crd)
	return crd
}

func TestTheOldestKubernetesTakesTheDefinition(t *testing.T) {
	text, err := os.ReadFile(definition)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range validation.ValidateCustomResourceDefinition(t.Context(), read(t, text)) {
		t.Error(err)
	}
	// A rule that only later versions compile must be found.
	later := strings.Replace(string(text), "rule: self.matches(", "rule: format.dns1123Label().validate(self).hasValue() || self.matches(", 1)
	if later == string(text) {
		t.Fatal("the definition has no rule to spoil")
	}
	if errs := validation.ValidateCustomResourceDefinition(t.Context(), read(t, []byte(later))); len(errs) == 0 {
		t.Error("a rule of a later version is taken: the libraries are not the oldest version's")
	}
}

// The libraries are those of the version that the chart promises.
func TestTheLibrariesAreOfTheOldestVersion(t *testing.T) {
	text, err := os.ReadFile(chart)
	if err != nil {
		t.Fatal(err)
	}
	promised := regexp.MustCompile(`(?m)^kubeVersion: ">=1\.(\d+)\.`).FindSubmatch(text)
	if promised == nil {
		t.Fatal("the chart has no kubeVersion")
	}
	modules, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := libraries + " v0." + string(promised[1]) + "."; !strings.Contains(string(modules), want) {
		t.Errorf("go.mod has no %s*, and the chart promises Kubernetes 1.%s", want, promised[1])
	}
}
