// Command explain makes the descriptions of a CustomResourceDefinition fit kubectl explain,
// which wraps lines of its own width and shows no defaults: the lines of a paragraph become
// one, and a default is told.
//
//	go run ./hack/explain config/crd/bases/media.streampair.dev_streampairs.yaml
package main

import (
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	for _, file := range os.Args[1:] {
		if err := rewrite(file); err != nil {
			fmt.Fprintln(os.Stderr, "explain:", err)
			os.Exit(1)
		}
	}
}

func rewrite(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition map[string]any
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	spec, _ := definition["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for _, version := range versions {
		of, _ := version.(map[string]any)
		explain(of["schema"])
	}
	text, err = yaml.Marshal(definition)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, append([]byte("---\n"), text...), 0o644) // #nosec G306 -- it is for everybody
}

// explain rewrites all descriptions of a schema.
func explain(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if text, ok := schema["description"].(string); ok {
			schema["description"] = withDefault(joined(text), schema["default"])
		}
		for _, below := range schema {
			explain(below)
		}
	case []any:
		for _, below := range schema {
			explain(below)
		}
	}
}

// joined joins the lines of each paragraph. Items of a list keep lines of their own.
func joined(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		switch isItem := strings.HasPrefix(strings.TrimSpace(line), "- "); {
		case i == 0:
		case line == "" || isItem || strings.HasSuffix(b.String(), "\n"):
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
			line = strings.TrimSpace(line)
		}
		b.WriteString(line)
	}
	return b.String()
}

// withDefault tells a default that is one value or a list, unless the text speaks of it.
func withDefault(text string, value any) string {
	switch list := value.(type) {
	case string, bool, float64, int64:
	case []any:
		value = strings.Trim(fmt.Sprint(list), "[]")
	default:
		return text
	}
	if strings.Contains(strings.ToLower(text), "default") {
		return text
	}
	return fmt.Sprintf("%s Default: %v.", text, value)
}
