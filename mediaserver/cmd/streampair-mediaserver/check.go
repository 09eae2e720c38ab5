package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/conformance"
)

// checkUsage is what check-whip and check-whep print by --help.
const checkUsage = `Usage: streampair-mediaserver check-whip|check-whep [flags] URL

Tries the endpoint at URL, of a server of any make, against RFC 9725 (WHIP) or
draft-ietf-wish-whep-03 (WHEP), and prints a table. The exit code is 1 if a MUST
is not met. check-whep needs a stream that is live. check-whip publishes to the
stream for a few seconds: name one that nobody uses.

Flags:
  --token TOKEN       $TOKEN  send TOKEN as a bearer token
  --insecure                  accept any TLS certificate
  --timeout DURATION          end after DURATION (default 2m0s)
  -o table|json               the form of the output (default table)
`

// protocolOf returns the protocol that a command checks; empty: it is no such command.
func protocolOf(args []string) conformance.Protocol {
	if len(args) == 0 {
		return ""
	}
	switch args[0] {
	case "check-whip":
		return conformance.WHIP
	case "check-whep":
		return conformance.WHEP
	}
	return ""
}

// check tries a server and prints what it finds.
func check(ctx context.Context, protocol conformance.Protocol, args, env []string, stdout io.Writer) error {
	cfg := conformance.Config{Protocol: protocol}
	flags := flag.NewFlagSet("check-"+string(protocol), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Token, "token", "", "")
	flags.BoolVar(&cfg.InsecureTLS, "insecure", false, "")
	timeout := flags.Duration("timeout", 2*time.Minute, "")
	output := flags.String("o", "table", "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			_, err = fmt.Fprint(stdout, checkUsage)
		}
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("name one URL: streampair-mediaserver %s [flags] URL", flags.Name())
	}
	cfg.URL = flags.Arg(0)
	if u, err := url.Parse(cfg.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%.100q is no URL of http or https", cfg.URL)
	}
	if *output != "table" && *output != "json" {
		return fmt.Errorf("-o must be table or json, not %.20q", *output)
	}
	for _, one := range env {
		if token, ok := strings.CutPrefix(one, "TOKEN="); ok {
			cfg.Token = cmp.Or(cfg.Token, token)
		}
	}
	ctx, stop := context.WithTimeout(ctx, *timeout)
	defer stop()
	report := conformance.Run(ctx, cfg)
	if err := printReport(stdout, report, *output); err != nil {
		return err
	}
	if n := report.Count(conformance.Must, conformance.Fail); n > 0 {
		return fmt.Errorf("the server does not meet %d requirements (MUST)", n)
	}
	if report.Count(conformance.Must, conformance.Pass) == 0 || ctx.Err() != nil {
		return errors.New("the server could not be checked to the end")
	}
	return nil
}

func printReport(w io.Writer, report conformance.Report, form string) error {
	if form == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.WriteTable(w)
}
