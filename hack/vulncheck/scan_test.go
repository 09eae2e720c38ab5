package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScan runs the real govulncheck, with a database of one vulnerability, on a module that
// has the vulnerable one in its vendor folder. So it needs no network.
func TestScan(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	govulncheck, err := newScanner(t.Context(), t.TempDir(), "../tools/go.mod", "")
	if err != nil {
		t.Fatal(err)
	}
	const call, use = "package main\n\nimport \"example.com/weak\"\n\nfunc main() { weak.Break() }\n",
		"package main\n\nimport \"example.com/weak\"\n\nfunc main() { weak.Hold() }\n"
	broken := finding{
		id: "GO-2026-0001", summary: "Breaks", module: "example.com/weak", version: "v1.0.0", fixed: "v1.0.1",
		function: "example.com/weak.Break", caller: "example.com/app.main",
	}
	tests := map[string]struct {
		program string
		want    []finding
	}{
		"a function that is called is found": {call, []finding{broken}},
		"one that is only linked is not":     {use, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := govulncheck
			s.database = writeFolder(t, map[string]string{"GO-2026-0001.json": weakOSV})
			app := writeFolder(t, map[string]string{
				"go.mod":                       "module example.com/app\n\ngo 1.26.0\n\nrequire example.com/weak v1.0.0\n",
				"main.go":                      test.program,
				"vendor/modules.txt":           "# example.com/weak v1.0.0\n## explicit; go 1.26.0\nexample.com/weak\n",
				"vendor/example.com/weak/w.go": "package weak\n\nfunc Break() {}\n\nfunc Hold() {}\n",
			})
			got, err := s.scan(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].folder = ""
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Error(diff)
			}
		})
	}

	known := strings.NewReplacer("GO-2026-0001", knownID, "example.com/weak", "golang.org/x/text", "1.0.1", "0.3.8").Replace(weakOSV)
	for name, test := range map[string]struct {
		files   map[string]string
		message string // of the error; empty: none
	}{
		"a database that knows":   {map[string]string{knownID + ".json": known}, ""},
		"an empty one":            {nil, "its database is broken"},
		"one of other things":     {map[string]string{"GO-2026-0001.json": weakOSV}, "its database is broken"},
		"one with a broken file":  {map[string]string{knownID + ".json": known, "GO-2026-0001.json": "{"}, "govulncheck: exit status"},
		"one with a renamed file": {map[string]string{"GO-2022-0001.json": known}, "govulncheck: exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			s := govulncheck
			s.database = writeFolder(t, test.files)
			err := s.proveDatabase(t.Context())
			if (err == nil) != (test.message == "") || err != nil && !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want %q", err, test.message)
			}
		})
	}
}

const weakOSV = `{
	"schema_version": "1.3.1", "id": "GO-2026-0001", "summary": "Breaks",
	"affected": [{
		"package": {"name": "example.com/weak", "ecosystem": "Go"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
		"ecosystem_specific": {"imports": [{"path": "example.com/weak", "symbols": ["Break"]}]}
	}]
}`

func TestParse(t *testing.T) {
	const config = `{"config": {"protocol_version": "v1.0.0"}}`
	for name, test := range map[string]struct {
		output, message string
	}{
		"nothing":               {"", "no configuration"},
		"another format":        {`{"vulns": []}`, "no configuration"},
		"half of it":            {config + `{"finding": {"osv": "GO-20`, "read what govulncheck printed"},
		"no findings":           {config, ""},
		"a finding in no trace": {config + `{"finding": {"osv": "GO-2026-0001"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, _, err := parse(strings.NewReader(test.output))
			if (err == nil) != (test.message == "") || err != nil && !strings.Contains(err.Error(), test.message) || len(found) > 0 {
				t.Errorf("got %v and %v, want %q", found, err, test.message)
			}
		})
	}
}

func TestFolderDigest(t *testing.T) {
	digest := func(files map[string]string) string {
		t.Helper()
		sum, err := folderDigest(writeFolder(t, files))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	// printf 1 >a; printf 2 >b; sha256sum * | sha256sum
	const want = "68c2919f4305e50800082ab7f11eb17d96c7832f59154e97b1d373a5179a63ea"
	if got := digest(map[string]string{"a": "1", "b": "2"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, files := range map[string]map[string]string{
		"a file is missing": {"a": "1"}, "a file is more": {"a": "1", "b": "2", "c": ""}, "another content": {"a": "1", "b": "3"},
		"another name": {"a": "1", "c": "2"}, "no file": nil,
	} {
		if digest(files) == want {
			t.Errorf("%s: the digest is the same", name)
		}
	}
	if _, err := folderDigest(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that does not exist has a digest")
	}
}

func writeFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
