package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	api "github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/preflight"
	"github.com/streampair/streampair/mediaserver/preflight/gather"
	"github.com/streampair/streampair/mediaserver/transcode"
)

// preflightUsage is what check prints by --help.
const preflightUsage = `Usage: streampair-mediaserver check [flags] URL [URL]

Watches the streams of one or two encoders before an event, and says what to set
in OBS and in ffmpeg. A URL is one of

  https://HOST:5443/live/play.html?name=A&backupStreamId=B   both legs of a pair
  http://HOST:5080/live/A.flv                                one stream
  anything that ffmpeg opens, if there is ffmpeg: rtmp://…, srt://…, a file

The exit code is 0 without errors, 1 with errors, and 2 if nothing could be read.

Flags:
  --for DURATION              watch for DURATION, 5s to 10m (default 20s); the
                              drift of both legs needs 90s
  --token TOKEN       $TOKEN  send TOKEN as a bearer token
  --insecure                  send it even where the certificate is not trusted
  -o text|json                the form of the output (default text)
`

// leastFor and mostFor bound how long streams are watched.
const leastFor, mostFor = 5 * time.Second, 10 * time.Minute

// checkCertificate is how long a server may take to present its certificate.
const checkCertificate = 10 * time.Second

// preflightConfig is what the arguments of check ask for.
type preflightConfig struct {
	sources []gather.Source
	gather  gather.Config
	form    string
}

// preflightCheck watches streams, and prints what is wrong.
func preflightCheck(ctx context.Context, args, env []string, stdout io.Writer) error {
	cfg, err := parsePreflight(args, env)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(stdout, preflightUsage)
		return err
	}
	if err != nil {
		return &api.NotCheckedError{Err: err}
	}
	cfg.gather.FFmpegPath = transcode.FindFFmpeg()
	legs := gather.Run(ctx, cfg.gather, cfg.sources)
	if err := ctx.Err(); err != nil {
		return &api.NotCheckedError{Err: errors.New("the check was ended")}
	}
	now := time.Now()
	var subjects []api.Subject
	var found []api.Finding
	for i, leg := range legs {
		subjects = append(subjects, api.Subject{Name: leg.Name, Summary: cfg.sources[i].Summary(leg)})
		found = append(found, preflight.Judge(leg, now)...)
	}
	if len(legs) == 2 {
		offset := preflight.EstimateStep(legs[0], legs[1])
		subjects = append(subjects, api.Subject{Name: "both", Summary: preflight.StepSummary(offset)})
		found = append(found, preflight.JudgePair(legs[0], legs[1], offset)...)
	}
	found = append(found, certificates(ctx, cfg.sources, now)...)
	err = api.NewReport(now, subjects, found).Print(stdout, cfg.form)
	if !slices.ContainsFunc(legs, func(l preflight.Leg) bool { return l.Unread == "" }) {
		return &api.NotCheckedError{Err: errors.New("nothing could be read")}
	}
	return err
}

func parsePreflight(args, env []string) (cfg preflightConfig, err error) {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&cfg.gather.For, "for", 20*time.Second, "")
	token := flags.String("token", "", "")
	flags.BoolVar(&cfg.gather.Insecure, "insecure", false, "")
	flags.StringVar(&cfg.form, "o", api.Text, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if err := api.CheckForm(cfg.form); err != nil {
		return cfg, err
	}
	if cfg.gather.For < leastFor || cfg.gather.For > mostFor {
		return cfg, fmt.Errorf("--for must be %s to %s", leastFor, mostFor)
	}
	for _, one := range env {
		if value, ok := strings.CutPrefix(one, "TOKEN="); ok {
			*token = cmp.Or(*token, value)
		}
	}
	if flags.NArg() == 0 {
		return cfg, errors.New("name one or two URLs: streampair-mediaserver check [flags] URL [URL]")
	}
	cfg.sources, err = gather.Sources(flags.Args(), *token)
	return cfg, err
}

// certificates judges the certificate of each server.
func certificates(ctx context.Context, sources []gather.Source, now time.Time) []api.Finding {
	ctx, stop := context.WithTimeout(ctx, checkCertificate)
	defer stop()
	var found []api.Finding
	seen := map[string]bool{}
	for _, source := range sources {
		u, err := url.Parse(source.URL)
		if err != nil || u.Scheme != "https" {
			continue
		}
		address := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
		if seen[address] {
			continue
		}
		seen[address] = true
		if presented, err := api.Dial(ctx, address); err == nil { // otherwise the stream was not read
			found = append(found, api.JudgeCertificate(address, presented, nil, now)...)
		}
	}
	return found
}
