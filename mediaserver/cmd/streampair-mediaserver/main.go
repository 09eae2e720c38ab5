// Command streampair-mediaserver ingests the two streams of StreamPairs and plays them
// to viewers, switching from one to the other inside the running track. It needs no
// cluster: --pair takes the same manifest that Kubernetes does.
//
// With check-whip or check-whep it tries a server of any make against the text of the protocol
// instead, see package conformance. With check it watches the streams of encoders before an event, see
// package preflight.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/server"
	"github.com/streampair/streampair/mediaserver/transcode"
)

// version is set by the linker.
var version = "devel"

// gcPercent is the growth of the heap, in percent, at which Go collects garbage. The heap is mostly
// media, which costs little to collect, so less memory than Go's default of 100 is well spent.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal drains; a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(preflight.ExitCode(err))
	}
}

func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	if protocol := protocolOf(args); protocol != "" {
		return check(ctx, protocol, args[1:], env, stdout)
	}
	if len(args) > 0 && args[0] == "check" {
		return preflightCheck(ctx, args[1:], env, stdout)
	}
	cfg, err := config.Load(args, env)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(stdout, config.Usage())
		return err
	}
	if err != nil {
		return err
	}
	log := cfg.NewLogger(stderr)
	ffmpeg := transcode.FindFFmpeg()
	if ffmpeg == "" {
		log.Warn("there is no ffmpeg on the PATH: viewers see only some pictures of streams with B-frames")
	}
	s, err := server.New(server.Config{
		Config: cfg, Version: version, FFmpegPath: ffmpeg, Logger: log,
		OnToken: func(pair, what, token string) {
			fmt.Fprintf(stdout, "%s token of pair %s: %s\n", what, pair, token)
		},
	})
	if err != nil {
		return err
	}
	defer showRoom(s, stdout)()
	// That it was told to end is no error; that it gave up meanwhile is.
	if err := s.Run(ctx); ctx.Err() == nil || errors.Is(err, server.ErrGaveUp) {
		return err
	}
	return nil
}

// showRoom prints the URL of the control room, and another one for each SIGUSR1 until stop is called. A
// URL opens one browser.
func showRoom(s *server.Server, stdout io.Writer) (stop func()) {
	show := func() {
		if url := s.RoomURL(); url != "" {
			fmt.Fprintf(stdout, "control room: %s\n", url)
		}
	}
	show()
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		defer close(ended)
		for range signals {
			show()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}
