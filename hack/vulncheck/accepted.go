package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

var vulnerabilityID = regexp.MustCompile(`^GO-\d{4}-\d{4,}$`)

// readAccepted reads a file of accepted vulnerabilities. Each line is
//
//	ID MODULE REASON
//
// with a reason of several words. Empty lines and lines that begin with # are passed over.
func readAccepted(path string) ([]acceptance, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	accepted, err := parseAccepted(string(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return accepted, nil
}

func parseAccepted(content string) ([]acceptance, error) {
	var accepted []acceptance
	type place struct{ id, module string }
	seen := make(map[place]bool)
	n := 0
	for line := range strings.Lines(content) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 4 || !vulnerabilityID.MatchString(words[0]) {
			return nil, fmt.Errorf("line %d: want ID MODULE REASON, with an ID such as GO-2026-6348 and a reason of several words", n)
		}
		a := acceptance{id: words[0], module: words[1], reason: strings.Join(words[2:], " ")}
		if a.module == goModule {
			return nil, fmt.Errorf("line %d: findings in Go's library are warnings, and need no line", n)
		}
		if seen[place{a.id, a.module}] {
			return nil, fmt.Errorf("line %d: %s in %s is accepted twice", n, a.id, a.module)
		}
		seen[place{a.id, a.module}] = true
		accepted = append(accepted, a)
	}
	return accepted, nil
}
