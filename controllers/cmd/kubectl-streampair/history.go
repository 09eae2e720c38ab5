package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// timeFormat is how times are printed, in UTC.
const timeFormat = "2006-01-02 15:04:05.000"

// history prints the events of a pair.
func (p *plugin) history(_ context.Context, pair *v1alpha1.StreamPair) error {
	if pair.Status.HistoryCompleteSince == nil {
		return noHistory(pair)
	}
	if _, err := fmt.Fprintf(p.out, "%s/%s, complete since %s UTC\n\n", pair.Namespace, pair.Name, clock(pair.Status.HistoryCompleteSince.Time)); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "  TIME (UTC)\tWHAT\tLEG\tGAP\tREASON")
	for _, e := range pair.Status.History {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", clock(e.Time.Time), e.Kind, e.Leg, gap(e.GapMilliseconds), orDash(e.Reason))
	}
	return w.Flush()
}

func noHistory(pair *v1alpha1.StreamPair) error {
	return fmt.Errorf("%s has no history: no media pod of a version that keeps one has been seen", pair.Name)
}

// report prints what the history says of the time since a moment.
func (p *plugin) report(_ context.Context, pair *v1alpha1.StreamPair) error {
	now := time.Now()
	since, err := parseSince(p.since, now)
	if err != nil {
		return err
	}
	r, ok := newReport(pair, since, now)
	if !ok {
		return noHistory(pair)
	}
	switch p.output {
	case "json":
		e := json.NewEncoder(p.out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "markdown":
		return r.writeMarkdown(p.out)
	case "text":
		return r.writeText(p.out)
	}
	return fmt.Errorf("--output %s is none of text, json and markdown", p.output)
}

// parseSince parses a time such as 2026-11-22T18:00:00Z, or how long ago it was, such as 90m. An empty
// text gives the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("--since %s is neither a time such as 2026-11-22T18:00:00Z nor how long ago it was, such as 24h", text)
}

func clock(t time.Time) string { return t.UTC().Format(timeFormat) }

// gap returns a gap for people; a dash if there was none.
func gap(milliseconds int64) string {
	if milliseconds == 0 {
		return "-"
	}
	return (time.Duration(milliseconds) * time.Millisecond).String()
}

// completeness says since when the history has every event.
func (r report) completeness() string {
	since := clock(r.CompleteSince)
	if r.Asked != nil && r.Asked.Before(r.CompleteSince) {
		return fmt.Sprintf("The history is complete since %s UTC only, so the report begins there and not at %s.", since, clock(*r.Asked))
	}
	return fmt.Sprintf("The history is complete since %s UTC.", since)
}

// rows returns the minutes, each with its name.
func (r report) rows() [][2]string {
	figure := func(name string, minutes float64) [2]string { return [2]string{name, fmt.Sprintf("%.2f", minutes)} }
	return [][2]string{
		figure("on the primary", r.Minutes.Primary), figure("on the backup", r.Minutes.Backup), figure("dark", r.Minutes.Dark),
		figure("not started, or paused", r.Minutes.OffAir), figure("on air without redundancy", r.Minutes.WithoutRedundancy),
	}
}

// columns returns the times without a picture, and the switches, each list with its head.
func (r report) columns() (dark, switches [][]string) {
	dark = [][]string{{"dark from (UTC)", "to", "reason"}}
	for _, d := range r.Dark {
		to := "now"
		if d.To != nil {
			to = clock(*d.To)
		}
		dark = append(dark, []string{clock(d.From), to, orDash(d.Reason)})
	}
	switches = [][]string{{"switched at (UTC)", "to", "gap", "reason"}}
	for _, s := range r.Switches {
		switches = append(switches, []string{clock(s.Time), string(s.To), gap(s.GapMilliseconds), orDash(s.Reason)})
	}
	return dark, switches
}

func (r report) title() string {
	return fmt.Sprintf("%s from %s to %s UTC", r.Pair, clock(r.From), clock(r.To))
}

func (r report) writeText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "%s\n%s\n\n  \tMINUTES\n", r.title(), r.completeness())
	for _, row := range r.rows() {
		fmt.Fprintf(w, "  %s\t%s\n", row[0], row[1])
	}
	dark, switches := r.columns()
	for _, table := range [][][]string{dark, switches} {
		if len(table) == 1 {
			continue
		}
		_ = w.Flush() // its error comes again
		fmt.Fprintf(w, "\n  %s\n", strings.ToUpper(strings.Join(table[0], "\t")))
		for _, row := range table[1:] {
			fmt.Fprintf(w, "  %s\n", strings.Join(row, "\t"))
		}
	}
	return w.Flush()
}

func (r report) writeMarkdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n|  | minutes |\n|---|---|\n", r.title(), r.completeness())
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	dark, switches := r.columns()
	for _, table := range [][][]string{dark, switches} {
		if len(table) == 1 {
			continue
		}
		fmt.Fprintf(&b, "\n| %s |\n|%s\n", strings.Join(table[0], " | "), strings.Repeat("---|", len(table[0])))
		for _, row := range table[1:] {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
