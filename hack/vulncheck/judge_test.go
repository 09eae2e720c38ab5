package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	weak := finding{folder: ".", id: "GO-2026-0001", module: "example.com/weak", version: "v1.0.0", fixed: "v1.0.1"}
	tools := weak
	tools.folder = "hack/images"
	other := finding{folder: ".", id: "GO-2026-0001", module: "example.com/other", version: "v1.0.0"}
	inGo := finding{folder: ".", id: "GO-2026-0002", module: "stdlib", version: "v1.26.8", fixed: "v1.26.9"}
	reason := acceptance{"GO-2026-0001", "example.com/weak", "only our own input"}

	tests := map[string]struct {
		found    []finding
		accepted []acceptance
		want     judgement
	}{
		"nothing found":                             {nil, nil, judgement{}},
		"a finding fails":                           {[]finding{weak}, nil, judgement{failures: []finding{weak}}},
		"an accepted finding does not":              {[]finding{weak, tools}, []acceptance{reason}, judgement{accepted: []finding{weak, tools}}},
		"the same id in another module does":        {[]finding{weak, other}, []acceptance{reason}, judgement{accepted: []finding{weak}, failures: []finding{other}}},
		"a finding in Go's library warns":           {[]finding{inGo}, nil, judgement{inGo: []finding{inGo}}},
		"an acceptance without a finding is stale":  {nil, []acceptance{reason}, judgement{stale: []acceptance{reason}}},
		"an acceptance of another module is stale":  {[]finding{other}, []acceptance{reason}, judgement{failures: []finding{other}, stale: []acceptance{reason}}},
		"a finding in Go's library beside a module": {[]finding{inGo, weak}, nil, judgement{inGo: []finding{inGo}, failures: []finding{weak}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, judge(test.found, test.accepted), cmp.AllowUnexported(judgement{}, finding{}, acceptance{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJudgementSaysWhatToDo(t *testing.T) {
	var out strings.Builder
	judgement{
		failures: []finding{
			{folder: "hack/images", id: "GO-2026-0001", summary: "Loops for ever", module: "example.com/weak", version: "v1.0.0", fixed: "v1.0.1", function: "weak.Break", caller: "main.main"},
			{folder: ".", id: "GO-2026-0003", summary: "Ends the process", module: "example.com/lost", version: "v2.0.0", function: "lost.End", caller: "main.run"},
		},
		inGo: []finding{
			{id: "GO-2026-0009", version: "v1.26.8", fixed: "v1.26.10"}, {id: "GO-2026-0008", version: "v1.26.8", fixed: "v1.26.9"},
			{id: "GO-2026-0009", version: "v1.26.8", fixed: "v1.26.10"}, {id: "GO-2026-0007", version: "v1.26.8"},
		},
		accepted: []finding{{folder: ".", id: "GO-2026-0004", module: "example.com/known"}},
		stale:    []acceptance{{id: "GO-2026-0005", module: "example.com/gone"}},
	}.print(&out)
	want := `GO-2026-0001 in example.com/weak v1.0.0: Loops for ever
    main.main reaches weak.Break (module in hack/images)
    fixed in v1.0.1: (cd hack/images && go get example.com/weak@v1.0.1 && go mod tidy)
GO-2026-0003 in example.com/lost v2.0.0: Ends the process
    main.run reaches lost.End (module in .)
    no version is fixed
warning: go1.26.8 has vulnerabilities in what the code calls: GO-2026-0007, GO-2026-0008, GO-2026-0009; build with go1.26.10 or later; not fixed in any version: GO-2026-0007
accepted: GO-2026-0004 in example.com/known (module in .)
warning: GO-2026-0005 in example.com/gone is accepted and no longer found: take its line out of hack/vulnerabilities.txt
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestParseAccepted(t *testing.T) {
	accepted, err := parseAccepted("# why\n\nGO-2026-0001 example.com/weak Only our own input.\n \t\nGO-2026-0001\texample.com/other  Not  reached. \n")
	want := []acceptance{
		{"GO-2026-0001", "example.com/weak", "Only our own input."},
		{"GO-2026-0001", "example.com/other", "Not reached."},
	}
	if diff := cmp.Diff(want, accepted, cmp.AllowUnexported(acceptance{})); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, test := range map[string]struct{ content, message string }{
		"an id alone":       {"GO-2026-0001", "line 1: want ID MODULE REASON"},
		"no reason":         {"# why\nGO-2026-0001 example.com/weak", "line 2: want ID MODULE REASON"},
		"a reason too thin": {"GO-2026-0001 example.com/weak harmless", "line 1: want ID MODULE REASON"},
		"another id":        {"CVE-2026-0001 example.com/weak Only our own input.", "line 1: want ID MODULE REASON"},
		"twice":             {"GO-2026-0001 a b c\nGO-2026-0001 a d e", "line 2: GO-2026-0001 in a is accepted twice"},
		"Go's own library":  {"GO-2026-0001 stdlib Only our own input.", "line 1: findings in Go's library are warnings"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseAccepted(test.content); err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want %q", err, test.message)
			}
		})
	}
}

// TestAcceptedFile: the file of this repository can be read.
func TestAcceptedFile(t *testing.T) {
	if _, err := readAccepted("../../" + acceptedFile); err != nil {
		t.Error(err)
	}
}
