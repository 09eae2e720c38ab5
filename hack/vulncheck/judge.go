package main

import (
	"fmt"
	"go/version"
	"io"
	"slices"
	"strings"
)

// goModule is the name that the database gives Go's own library.
const goModule = "stdlib"

// A finding is a vulnerable function that our code calls.
type finding struct {
	folder         string // of the module that was looked at
	id             string // such as GO-2026-6348
	summary        string
	module         string // that has the vulnerability
	version, fixed string // of that module; fixed is empty if no version is
	function       string // the vulnerable one
	caller         string // the function of ours from which it is reached
}

// An acceptance is a line of hack/vulnerabilities.txt.
type acceptance struct{ id, module, reason string }

// A judgement says what is to be done about findings.
type judgement struct {
	failures []finding
	inGo     []finding
	accepted []finding
	stale    []acceptance // that no finding needs
}

// judge sorts findings by what is to be done.
//
// A finding in Go's library is no failure: it depends on the Go of the machine and not on
// the commit. The same commit would pass on one machine and fail on another, and nobody
// could mend that by a commit.
func judge(found []finding, accepted []acceptance) judgement {
	var j judgement
	needed := make(map[acceptance]bool)
	for _, f := range found {
		at := slices.IndexFunc(accepted, func(a acceptance) bool { return a.id == f.id && a.module == f.module })
		switch {
		case f.module == goModule:
			j.inGo = append(j.inGo, f)
		case at >= 0:
			needed[accepted[at]] = true
			j.accepted = append(j.accepted, f)
		default:
			j.failures = append(j.failures, f)
		}
	}
	for _, a := range accepted {
		if !needed[a] {
			j.stale = append(j.stale, a)
		}
	}
	return j
}

func (j judgement) print(out io.Writer) {
	for _, f := range j.failures {
		fmt.Fprintf(out, "%s in %s %s: %s\n", f.id, f.module, f.version, f.summary)
		fmt.Fprintf(out, "    %s reaches %s (module in %s)\n", f.caller, f.function, f.folder)
		if f.fixed == "" {
			fmt.Fprintln(out, "    no version is fixed")
		} else {
			fmt.Fprintf(out, "    fixed in %s: (cd %s && go get %s@%s && go mod tidy)\n", f.fixed, f.folder, f.module, f.fixed)
		}
	}
	if len(j.inGo) > 0 {
		fmt.Fprintln(out, goWarning(j.inGo))
	}
	for _, f := range j.accepted {
		fmt.Fprintf(out, "accepted: %s in %s (module in %s)\n", f.id, f.module, f.folder)
	}
	for _, a := range j.stale {
		fmt.Fprintf(out, "warning: %s in %s is accepted and no longer found: take its line out of %s\n", a.id, a.module, acceptedFile)
	}
}

// goWarning is one line about all findings in Go's library.
func goWarning(found []finding) string {
	var ids, unfixed []string
	newest := ""
	for _, f := range found {
		ids = append(ids, f.id)
		fixed := goVersion(f.fixed)
		if fixed == "" {
			unfixed = append(unfixed, f.id)
		} else if newest == "" || version.Compare(fixed, newest) > 0 {
			newest = fixed
		}
	}
	line := fmt.Sprintf("warning: %s has vulnerabilities in what the code calls: %s", goVersion(found[0].version), list(ids))
	if newest != "" {
		line += "; build with " + newest + " or later"
	}
	if len(unfixed) > 0 {
		line += "; not fixed in any version: " + list(unfixed)
	}
	return line
}

// goVersion returns go1.26.8 for v1.26.8, as the database has it.
func goVersion(v string) string {
	if v == "" {
		return ""
	}
	return "go" + strings.TrimPrefix(v, "v")
}

func list(ids []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(ids))), ", ")
}
