package measure

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A Table collects figures by what they are of, in the order in which they came first.
type Table struct {
	rows []*row
}

type row struct {
	What
	figures    Figures
	reconnects int
}

// What a figure is of.
type What struct {
	// Fault is what was done.
	Fault string
	// Who says whose figure it is.
	Who string
	// Goal is what is to be reached, such as "≤ 200 ms, no reconnect".
	Goal string
}

// Add adds a figure, and how many connections had to be opened anew meanwhile.
func (t *Table) Add(what What, figure time.Duration, reconnects int) {
	r := t.row(what)
	r.figures = append(r.figures, figure)
	r.reconnects += reconnects
}

func (t *Table) row(what What) *row {
	for _, r := range t.rows {
		if r.What == what {
			return r
		}
	}
	r := &row{What: what}
	t.rows = append(t.rows, r)
	return r
}

// String returns the table in Markdown, empty without figures.
func (t *Table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | figure | to reach | median | worst | runs | reconnects |\n|---|---|---|---|---|---|---|\n")
	last := ""
	for _, r := range t.rows {
		fault := r.Fault
		if fault == last {
			fault = ""
		}
		last = r.Fault
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %d |\n",
			fault, r.Who, r.Goal, text(r.figures.Median()), text(r.figures.Worst()), len(r.figures), r.reconnects)
	}
	return b.String()
}

// Write writes the table into a file.
func (t *Table) Write(path string) error {
	if err := os.WriteFile(path, []byte(t.String()), 0o644); err != nil {
		return fmt.Errorf("write the table of figures: %w", err)
	}
	return nil
}
