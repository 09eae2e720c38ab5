// Package preflight is the answer of a check before an event. `streampair-mediaserver check` and
// `kubectl streampair check` print the same table and JSON, and end with the same exit codes. What both
// commands see of an encoder is judged here, with the same limits and the same advice. The package
// measures nothing.
//
// Start with Report, and with Findings for the judges.
package preflight

import (
	"cmp"
	"slices"
	"time"
)

// A Severity says how much a Finding matters. Its values are API.
type Severity string

// The severities.
const (
	// Error: viewers miss something, or will.
	Error Severity = "Error"
	// Warning: viewers may miss something, or the leg works less well than it could.
	Warning Severity = "Warning"
	// Info: worth to know, and often as wanted.
	Info Severity = "Info"
)

// order sorts severities: the worst is first.
var order = map[Severity]int{Error: 0, Warning: 1, Info: 2}

// A Finding is one thing that is wrong. Its JSON names are API.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is stable, in PascalCase: BFrames, KeyFrameInterval … The warnings of a media server have
	// the same codes.
	Code string `json:"code"`
	// Subject is what the finding is about: a leg, both legs, a Service.
	Subject string `json:"subject"`
	// Message is one sentence that says what is wrong.
	Message string `json:"message"`
	// OBS and FFmpeg say what to set there. Both are empty where no encoder is at fault.
	OBS    string `json:"obs,omitempty"`
	FFmpeg string `json:"ffmpeg,omitempty"`
	// Remedy says what to set or do elsewhere. Empty: OBS and FFmpeg say all.
	Remedy string `json:"remedy,omitempty"`
}

// A Subject is something that was checked. Its JSON names are API.
type Subject struct {
	Name string `json:"name"`
	// Summary says in a few words what was seen.
	Summary string `json:"summary"`
}

// A Report is all that a check has seen. Its JSON names are API.
type Report struct {
	Time     time.Time `json:"time"`
	Subjects []Subject `json:"subjects"`
	// Findings has the worst first.
	Findings []Finding `json:"findings"`
}

// NewReport returns a report with the findings in order.
func NewReport(now time.Time, subjects []Subject, findings []Finding) Report {
	findings = append([]Finding{}, findings...) // JSON has [] and not null
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Compare(order[a.Severity], order[b.Severity])
	})
	return Report{Time: now.UTC().Truncate(time.Second), Subjects: append([]Subject{}, subjects...), Findings: findings}
}

// Count returns how many findings have a severity.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}
