package measure

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A Table collects figures by subject, in the order in which the subjects first came.
type Table struct {
	rows []*row
}

type row struct {
	What
	figures                 Figures
	over, again, reconnects int
	limit                   time.Duration
}

// What is the subject of a figure.
type What struct {
	// Fault is the fault that was made.
	Fault string
	// Who says whose figure it is.
	Who string
	// Goal is the goal, such as "≤ 200 ms, no reconnect".
	Goal string
}

// A Figure is one figure of a table.
type Figure struct {
	// Length is the time without a new picture, or another measured time.
	Length time.Duration
	// Reconnects is how many new connections had to be opened meanwhile.
	Reconnects int
	// Verdict is the verdict on the figure. Limit is
	// the longest figure that does not fail its test.
	Verdict Verdict
	Limit   time.Duration
}

// Add adds a figure.
func (t *Table) Add(what What, f Figure) {
	r := t.row(what)
	r.figures = append(r.figures, f.Length)
	r.reconnects += f.Reconnects
	r.limit = max(r.limit, f.Limit)
	if f.Verdict != Reached {
		r.over++
	}
	if f.Verdict == Again {
		r.again++
	}
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

// String returns the table in Markdown; empty without figures.
func (t *Table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | figure | to reach | asserted | median | worst | runs | over goal | repeated | reconnects |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	last := ""
	for _, r := range t.rows {
		fault := r.Fault
		if fault == last {
			fault = ""
		}
		last = r.Fault
		fmt.Fprintf(&b, "| %s | %s | %s | ≤ %s | %s | %s | %d | %d | %d | %d |\n",
			fault, r.Who, r.Goal, text(r.limit), text(r.figures.Median()), text(r.figures.Worst()), len(r.figures), r.over, r.again, r.reconnects)
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
