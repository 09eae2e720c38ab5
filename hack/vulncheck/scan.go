package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// knownVulnerable is a module that every database knows to be vulnerable, by that id.
const knownVulnerable, knownID = "golang.org/x/text@v0.3.7", "GO-2022-1059"

// A scanner runs govulncheck.
type scanner struct {
	program  string
	database string // a folder of OSV files; empty: govulncheck's own database
}

// newScanner builds govulncheck into the folder, of the version in the go.mod file of the
// tools.
func newScanner(ctx context.Context, folder, tools, database string) (scanner, error) {
	program := filepath.Join(folder, "govulncheck")
	// Not `go tool`, which would build it for the system that is looked at.
	build := exec.CommandContext(ctx, "go", "build", "-modfile="+tools, "-o", program, "golang.org/x/vuln/cmd/govulncheck")
	if out, err := build.CombinedOutput(); err != nil {
		return scanner{}, fmt.Errorf("build govulncheck: %w\n%s", err, out)
	}
	return scanner{program, database}, nil
}

// proveDatabase returns an error unless govulncheck finds in its database a vulnerability
// that is known to be there. Without it a database that govulncheck cannot use would pass.
func (s scanner) proveDatabase(ctx context.Context) error {
	out, err := s.run(ctx, ".", "-mode=query", knownVulnerable)
	if err != nil {
		return err
	}
	_, known, err := parse(bytes.NewReader(out))
	if err != nil {
		return err
	}
	if _, ok := known[knownID]; !ok {
		return fmt.Errorf("govulncheck does not find %s in %s: its database is broken", knownID, knownVulnerable)
	}
	return nil
}

// scan returns what the code of the module in the folder calls, one finding for each
// vulnerability and vulnerable module.
func (s scanner) scan(ctx context.Context, folder string) ([]finding, error) {
	out, err := s.run(ctx, folder, "./...")
	if err != nil {
		return nil, err
	}
	found, summaries, err := parse(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].folder = folder
		found[i].summary = summaries[found[i].id]
	}
	return found, nil
}

func (s scanner) run(ctx context.Context, folder string, args ...string) ([]byte, error) {
	args = append([]string{"-C", folder, "-format=json"}, args...)
	if s.database != "" {
		args = append([]string{"-db", "file://" + filepath.ToSlash(s.database)}, args...)
	}
	cmd := exec.CommandContext(ctx, s.program, args...)
	// For what is shipped, whatever system this runs on: other systems call other code.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("govulncheck: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// A message is one of the JSON objects that govulncheck prints, in the format of
// golang.org/x/vuln/internal/govulncheck.Message v1.0.0.
type message struct {
	Config  *struct{}
	OSV     *struct{ ID, Summary string }
	Finding *struct {
		OSV          string
		FixedVersion string `json:"fixed_version"`
		Trace        []frame
	}
}

// A frame is a step of a call. The first of a trace is the vulnerable function, the last is
// ours. Where govulncheck has not looked at calls there is no Function.
type frame struct{ Module, Version, Package, Receiver, Function string }

func (f frame) String() string {
	name := f.Function
	if f.Receiver != "" {
		name = strings.TrimPrefix(f.Receiver, "*") + "." + name
	}
	return f.Package + "." + name
}

// parse reads the output of govulncheck: the calls it found, once for each vulnerability and
// module, and the summaries of the vulnerabilities by id.
func parse(output io.Reader) ([]finding, map[string]string, error) {
	var found []finding
	summaries := make(map[string]string)
	complete := false
	for decoder := json.NewDecoder(output); ; {
		var m message
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("read what govulncheck printed: %w", err)
		}
		complete = complete || m.Config != nil
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 {
			continue
		}
		first, last := m.Finding.Trace[0], m.Finding.Trace[len(m.Finding.Trace)-1]
		if first.Function == "" || slices.ContainsFunc(found, func(f finding) bool {
			return f.id == m.Finding.OSV && f.module == first.Module
		}) {
			continue
		}
		found = append(found, finding{
			id: m.Finding.OSV, module: first.Module, version: first.Version, fixed: m.Finding.FixedVersion,
			function: first.String(), caller: last.String(),
		})
	}
	if !complete {
		return nil, nil, errors.New("govulncheck printed no configuration: its format is another one")
	}
	return found, summaries, nil
}
