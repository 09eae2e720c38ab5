package conformance

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Level is how binding a requirement is, RFC 2119.
type Level string

// The levels. SHALL is Must.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// An Outcome is what a check has found.
type Outcome string

// The outcomes. A check is Skipped if it does not apply to the server, or if something that it needs
// is not there.
const (
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
	Skipped Outcome = "skipped"
)

// A Result is what one check has found.
type Result struct {
	// Check says what must be true.
	Check string `json:"check"`
	// Section is where the text says so.
	Section string  `json:"section"`
	Level   Level   `json:"level"`
	Outcome Outcome `json:"outcome"`
	// Seen is what the server did, or why the check was skipped. It is printable.
	Seen string `json:"seen"`
}

// A Report has the results of all checks, in the order in which they were made.
type Report struct {
	URL      string   `json:"url"`
	Protocol Protocol `json:"protocol"`
	Results  []Result `json:"results"`
}

// Count returns the number of checks of that level with that outcome.
func (r Report) Count(level Level, outcome Outcome) (n int) {
	for _, one := range r.Results {
		if one.Level == level && one.Outcome == outcome {
			n++
		}
	}
	return n
}

// WriteTable writes the report for a person.
func (r Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	write := func(columns ...string) { _, _ = fmt.Fprintln(table, strings.Join(columns, "\t")) } // Flush returns the error
	write("CHECK", "SECTION", "LEVEL", "RESULT", "SEEN")
	for _, one := range r.Results {
		write(one.Check, one.Section, string(one.Level), string(one.Outcome), one.Seen)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d MUST and %d of %d SHOULD failed, %d were skipped.\n",
		r.Count(Must, Fail), r.Count(Must, Fail)+r.Count(Must, Pass), r.Count(Should, Fail), r.Count(Should, Fail)+r.Count(Should, Pass),
		r.Count(Must, Skipped)+r.Count(Should, Skipped))
	return err
}

// maxSeen bounds the text of a server in a report, in bytes.
const maxSeen = 120

// printable returns the beginning of a server's text on one line, without control characters.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxSeen {
		text = strings.ToValidUTF8(text[:maxSeen], "") + "…"
	}
	return text
}
