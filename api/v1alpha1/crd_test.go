package v1alpha1

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// A definition is the CustomResourceDefinition in the hands of an API server: it does
// with an object what that does.
type definition struct {
	crd        apiextensions.CustomResourceDefinition
	structural *schema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

func loadDefinition(t *testing.T) *definition {
	t.Helper()
	text, err := os.ReadFile("../../config/crd/bases/media.streampair.dev_streampairs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &v1); err != nil {
		t.Fatal(err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&v1)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
	d := &definition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &d.crd, nil); err != nil {
		t.Fatal(err)
	}
	// The conversion puts the schema of a single version here.
	props := d.crd.Spec.Validation
	if props == nil {
		props = d.crd.Spec.Versions[0].Schema
	}
	if d.structural, err = schema.NewStructural(props.OpenAPIV3Schema); err != nil {
		t.Fatal(err)
	}
	if d.values, _, err = validation.NewSchemaValidator(props.OpenAPIV3Schema); err != nil {
		t.Fatal(err)
	}
	d.rules = cel.NewValidator(d.structural, true, celconfig.PerCallLimit)
	return d
}

// judge returns the object as it would be stored, and what an API server finds wrong
// with it, in the order in which it looks: rules are looked at only when the values have
// the right form.
func (d *definition) judge(t *testing.T, document []byte) (map[string]any, field.ErrorList) {
	t.Helper()
	var object map[string]any
	// Not encoding/json: that makes floats of integers.
	if err := utiljson.Unmarshal(document, &object); err != nil {
		t.Fatal(err)
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, d.structural)
	pruning.Prune(object, d.structural, true)
	defaulting.Default(object, d.structural)
	errs := validation.ValidateCustomResource(nil, object, d.values)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, d.structural, object)...)
	blocking := []field.ErrorType{
		field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid,
	}
	if !slices.ContainsFunc(errs, func(err *field.Error) bool { return slices.Contains(blocking, err.Type) }) {
		broken, _ := d.rules.Validate(t.Context(), nil, d.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	return object, errs
}

// document is a pair as a client sends it: without the defaults.
func document(t *testing.T, change func(*StreamPair)) []byte {
	t.Helper()
	p := &StreamPair{Spec: StreamPairSpec{Primary: Leg{StreamID: "primary"}, Backup: Leg{StreamID: "backup"}}}
	p.Name, p.Kind, p.APIVersion = "demo", Kind, GroupVersion.String()
	if change != nil {
		change(p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheDefinitionIsAccepted(t *testing.T) {
	d := loadDefinition(t)
	d.crd.Status.StoredVersions = []string{GroupVersion.Version}
	// This estimates what the rules cost at worst, too.
	for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), &d.crd) {
		t.Error(err)
	}
}

func TestTheDefinitionDefaultsAsDefault(t *testing.T) {
	d := loadDefinition(t)
	for _, tt := range pairCases() {
		if tt.want != nil {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			object, _ := d.judge(t, document(t, tt.change))
			stored, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			var got StreamPair
			if err := yaml.UnmarshalStrict(stored, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(valid(tt.change).Spec, got.Spec); diff != "" {
				t.Errorf("the definition's defaults (+) differ from Default's (-):\n%s", diff)
			}
		})
	}
}

func TestTheDefinitionAcceptsWhatValidateAccepts(t *testing.T) {
	d := loadDefinition(t)
	for _, tt := range pairCases() {
		t.Run(tt.name, func(t *testing.T) {
			sent := document(t, tt.change)
			var received StreamPair
			if err := json.Unmarshal(sent, &received); err != nil {
				t.Fatal(err)
			}
			received.Default()
			if received.Validate() == nil && tt.want != nil {
				if tt.name != "an order of nothing" {
					t.Fatal("JSON leaves the mistake out, so that nothing is tested")
				}
				return // it is sent as JSON of its own in another test
			}
			_, errs := d.judge(t, sent)
			if refused := len(errs) > 0; refused != (tt.want != nil) {
				t.Errorf("the definition finds %v, Validate mistakes in %v", errs.ToAggregate(), tt.want)
			}
			for _, err := range errs {
				t.Log(err) // to be read: does it say what to do?
			}
		})
	}
}

func TestColumnsAndNames(t *testing.T) {
	d := loadDefinition(t)
	var columns []string
	for _, c := range d.crd.Spec.AdditionalPrinterColumns {
		columns = append(columns, c.Name)
	}
	if diff := cmp.Diff([]string{"Active", "On air", "Redundant", "Ready", "Reason", "URL", "Age"}, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	names := apiextensions.CustomResourceDefinitionNames{
		Plural: "streampairs", Singular: "streampair", ShortNames: []string{"sp"},
		Kind: Kind, ListKind: Kind + "List", Categories: []string{"all", "streampair"},
	}
	if diff := cmp.Diff(names, d.crd.Spec.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if d.crd.Spec.Subresources == nil || d.crd.Spec.Subresources.Status == nil {
		t.Error("no subresource status")
	}
}

// What others define comes with their words, or without.
var foreign = []string{".resources.", ".tolerations[].", ".imagePullSecrets[].", ".conditions[].", ".apiVersion", ".kind", ".metadata"}

// torn are lines that end within a paragraph. kubectl explain wraps lines, and joins none.
var torn = regexp.MustCompile(`[^\n]\n[^\n-]`)

func TestEveryFieldIsExplained(t *testing.T) {
	explained := 0
	var walk func(path string, s *schema.Structural)
	walk = func(path string, s *schema.Structural) {
		for name, property := range s.Properties {
			at := path + "." + name
			if !slices.ContainsFunc(foreign, func(f string) bool { return strings.Contains(at+".", f+".") || strings.Contains(at, f) }) {
				explained++
				switch {
				case property.Description == "":
					t.Errorf("%s has no description", at)
				case !strings.Contains(property.Description, " "):
					t.Errorf("%s is described as %q", at, property.Description)
				case torn.MatchString(property.Description):
					t.Errorf("kubectl explain tears the lines of %s: %q", at, property.Description)
				}
				if value := property.Default.Object; value != nil && property.Type != "object" && !strings.Contains(strings.ToLower(property.Description), "default") {
					t.Errorf("%s does not tell its default, %v", at, value)
				}
			}
			walk(at, &property)
		}
		if s.Items != nil {
			walk(path+"[]", s.Items)
		}
	}
	walk("", loadDefinition(t).structural)
	t.Logf("%d fields", explained)
	if explained < 50 {
		t.Errorf("only %d fields found", explained)
	}
}
