package preflight

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// ErrFound means that a check was made, and has found errors.
var ErrFound = errors.New("the check has found errors")

// A NotCheckedError means that a check could not be made.
type NotCheckedError struct{ Err error }

func (e *NotCheckedError) Error() string { return e.Err.Error() }

// Unwrap returns why the check could not be made.
func (e *NotCheckedError) Unwrap() error { return e.Err }

// ExitCode returns the exit code of a command that ended with err: 2 for a check that could not be
// made, 1 for any other error, 0 for none.
func ExitCode(err error) int {
	var not *NotCheckedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &not):
		return 2
	}
	return 1
}

// The forms in which a report is printed.
const (
	Text = "text"
	JSON = "json"
)

// CheckForm returns an error if no report is printed in that form.
func CheckForm(form string) error {
	if form != Text && form != JSON {
		return fmt.Errorf("-o must be text or json, not %.20q", form)
	}
	return nil
}

// Print prints the report in a form. It returns ErrFound if the report has errors.
func (r Report) Print(w io.Writer, form string) error {
	var err error
	if form == JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(r)
	} else {
		_, err = io.WriteString(w, r.text())
	}
	if err == nil && r.Count(Error) > 0 {
		return ErrFound
	}
	return err
}

// text returns the report for people.
func (r Report) text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, s := range r.Subjects {
		fmt.Fprintf(t, "%s\t%s\n", printable(s.Name), printable(s.Summary))
	}
	_ = t.Flush() // cannot fail, because it writes into memory
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s %s (%s)\n  %s\n", strings.ToUpper(string(f.Severity)), printable(f.Code), printable(f.Subject), printable(f.Message))
		for _, set := range []struct{ where, what string }{{"OBS", f.OBS}, {"ffmpeg", f.FFmpeg}, {"to do", f.Remedy}} {
			if set.what != "" {
				fmt.Fprintf(&b, "  %-7s %s\n", set.where+":", printable(set.what))
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.sum())
	return b.String()
}

// printable returns text as one line, without what a terminal would obey: parts of a report come from
// servers that are checked.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// sum returns the last line for people.
func (r Report) sum() string {
	if len(r.Findings) == 0 {
		return "Nothing is wrong."
	}
	return fmt.Sprintf("%s, %s, %d for information.", count(r.Count(Error), "error"), count(r.Count(Warning), "warning"), r.Count(Info))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
