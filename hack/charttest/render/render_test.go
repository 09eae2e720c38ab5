package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLaterValuesWin(t *testing.T) {
	folder := t.TempDir()
	for name, values := range map[string]string{
		"1": "{image: {tag: one}, mediaServer: {image: {tag: first}}}",
		"2": "{image: {tag: two}}",
		"3": "",
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(values), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := run(&out, "../../../charts/streampair", "somewhere", false, []string{folder + "/1", folder + "/2", folder + "/3"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator:two", "mediaserver:first", "kind: CustomResourceDefinition", "namespace: somewhere"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q among %d objects", want, strings.Count(out.String(), "\n---\n"))
		}
	}
	if strings.Contains(out.String(), "helm.sh/hook") {
		t.Error("hooks are not to be applied")
	}
	for name, files := range map[string][]string{
		"values the schema refuses": {write(t, "{nonsense: 1}")},
		"values that are no YAML":   {write(t, "{")},
		"no such file":              {filepath.Join(folder, "none")},
	} {
		if err := run(&out, "../../../charts/streampair", "somewhere", false, files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
