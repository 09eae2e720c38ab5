package docs_test

import (
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Readers copy the manifests of the pages.
func TestManifestsOfThePagesAreValid(t *testing.T) {
	manifests := 0
	for page, text := range pages(t) {
		for _, block := range regexp.MustCompile("(?s)```yaml\n(apiVersion: media.*?)```").FindAllStringSubmatch(text, -1) {
			manifests++
			var pair v1alpha1.StreamPair
			if err := yaml.UnmarshalStrict([]byte(block[1]), &pair); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block[1])
				continue
			}
			pair.Default()
			if errs := pair.ValidateNew(); len(errs) > 0 {
				t.Errorf("%s: %v in\n%s", page, errs, block[1])
			}
		}
	}
	if manifests < 3 {
		t.Errorf("only %d manifests found", manifests)
	}
}
