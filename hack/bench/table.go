package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
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

// cells returns the median and the worst figure.
func cells(f measure.Figures) []string {
	if len(f) == 0 {
		return []string{"–", "–"}
	}
	return []string{milliseconds(f.Median()), milliseconds(f.Worst())}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

// measured adds a row with a median and a worst figure, with a fault and without.
func (t *table) measured(what string, with, without measure.Figures) {
	t.row(append(append([]string{what}, cells(with)...), cells(without)...)...)
}
