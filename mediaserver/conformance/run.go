package conformance

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A Protocol is what the server is tried against.
type Protocol string

// The protocols.
const (
	WHIP Protocol = "whip"
	WHEP Protocol = "whep"
)

// Config configures Run.
type Config struct {
	// Protocol is required.
	Protocol Protocol
	// URL is the endpoint's URL. Required.
	URL string
	// Token is sent as a bearer token; empty: none is.
	Token string
	// InsecureTLS accepts any certificate.
	InsecureTLS bool
	// MediaTimeout bounds how long the run waits for each thing that media does: a connection, a
	// packet, an event, an end. Default 15 s.
	MediaTimeout time.Duration
}

// Run tries a server. It makes up to two sessions, one after the other, and ends them. ctx bounds the
// whole run: what it leaves no time for is skipped.
func Run(ctx context.Context, cfg Config) Report {
	if cfg.MediaTimeout == 0 {
		cfg.MediaTimeout = 15 * time.Second
	}
	r := &run{config: cfg, http: newHTTPClient(cfg.InsecureTLS), report: Report{URL: cfg.URL, Protocol: cfg.Protocol}}
	defer r.http.CloseIdleConnections()
	silent, missing := "", ""
	if a := r.preflight(ctx); a.err != nil {
		silent = fmt.Sprintf("the server does not answer: %v", a.err)
		missing = silent
	}
	r.try(ctx, silent, endpointChecks())

	if missing == "" {
		missing = r.open(ctx, &r.first)
	}
	r.try(ctx, silent, []check{opens, waits})
	r.try(ctx, missing, answerChecks(), patchChecks())
	r.first.end(ctx, r)

	if missing == "" {
		missing = r.open(ctx, &r.second)
	}
	r.try(ctx, missing, mediaChecks(), eventChecks(), endChecks())
	r.second.end(ctx, r)
	return r.report
}

// A run is the state of Run.
type run struct {
	config Config
	http   *http.Client
	report Report
	first  session // never connects
	second session // has media
	events eventRun
}

// A check is one requirement.
type check struct {
	name string
	// whip is the section of RFC 9725, and whep that of draft -03, or of another text by its name.
	// Empty: the check is not for that protocol.
	whip, whep string
	level      Level
	try        func(ctx context.Context, r *run) finding
}

// section returns the section for a report; empty: the check is not for that protocol.
func (c check) section(p Protocol) string {
	switch {
	case p == WHIP && c.whip != "":
		return "RFC 9725 " + c.whip
	case p == WHEP && c.whep != "" && c.whep[0] >= '0' && c.whep[0] <= '9':
		return "whep-03 " + c.whep
	case p == WHEP:
		return c.whep
	}
	return ""
}

// try makes the checks. missing is why they cannot be made; empty: they can.
func (r *run) try(ctx context.Context, missing string, lists ...[]check) {
	for _, list := range lists {
		for _, c := range list {
			section := c.section(r.config.Protocol)
			if section == "" {
				continue
			}
			f := skip("%s", missing)
			switch {
			case ctx.Err() != nil:
				f = skip("there was no time left")
			case missing == "":
				if f = c.try(ctx, r); f.outcome == Fail && ctx.Err() != nil {
					f = skip("there was no time left")
				}
			}
			r.report.Results = append(r.report.Results, Result{c.name, section, c.level, f.outcome, printable(f.seen)})
		}
	}
}

// A finding is what a check has found.
type finding struct {
	outcome Outcome
	seen    string
}

func pass(format string, args ...any) finding { return finding{Pass, fmt.Sprintf(format, args...)} }
func fail(format string, args ...any) finding { return finding{Fail, fmt.Sprintf(format, args...)} }
func skip(format string, args ...any) finding {
	return finding{Skipped, fmt.Sprintf(format, args...)}
}

// when returns a pass or a failure.
func when(ok bool, format string, args ...any) finding {
	if ok {
		return pass(format, args...)
	}
	return fail(format, args...)
}
