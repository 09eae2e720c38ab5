// Command streampair-mediaserver ingests the two streams of StreamPairs and plays them
// to viewers, switching from one to the other inside the running track. It needs no
// cluster: --pair takes the same manifest that Kubernetes does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/server"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	cfg, err := config.Load(args, env)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(stdout, config.Usage())
		return err
	}
	if err != nil {
		return err
	}
	log := cfg.NewLogger(stderr)
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		log.Warn("no ffmpeg on the PATH: of streams with B-frames only the pictures that decode exactly are shown")
	}
	s, err := server.New(server.Config{Config: cfg, Version: version, FFmpegPath: ffmpeg, Logger: log})
	if err != nil {
		return err
	}
	for _, p := range cfg.Manifest.Pairs {
		if p.Keys.GeneratedPublishToken {
			// Nobody chose it, so it must be shown: once, and not in the log.
			fmt.Fprintf(stdout, "publish token of pair %s: %s\n", p.Name, p.Keys.PublishToken)
		}
		if p.Keys.GeneratedPlayToken {
			fmt.Fprintf(stdout, "play token of pair %s: %s\n", p.Name, p.Keys.PlayToken)
		}
	}
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
