package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A table is one part of the result, in Markdown.
type table struct {
	title, header string
	rows          []string
}

func (t *table) row(cells ...string) {
	t.rows = append(t.rows, "| "+strings.Join(cells, " | ")+" |")
}

// String returns the table in Markdown.
func (t table) String() string {
	columns := strings.Count(t.header, "|") + 1
	return fmt.Sprintf("**%s**\n\n| %s |\n|%s\n%s\n", t.title, t.header, strings.Repeat("---|", columns), strings.Join(t.rows, "\n"))
}

// figures are one measurement taken several times.
type figures []time.Duration

func (f figures) median() time.Duration {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return sorted[len(sorted)/2]
}

func (f figures) worst() time.Duration {
	if len(f) == 0 {
		return 0
	}
	return slices.Max(f)
}

// cells are the median and the worst.
func (f figures) cells() []string {
	if len(f) == 0 {
		return []string{"–", "–"}
	}
	return []string{milliseconds(f.median()), milliseconds(f.worst())}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

// measured adds a row with a median and a worst figure, with a fault and without.
func (t *table) measured(what string, with, without figures) {
	t.row(append(append([]string{what}, with.cells()...), without.cells()...)...)
}
