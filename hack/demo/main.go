// Command demo runs the media server with a sample manifest and two ffmpeg encoders. A person can
// stop one encoder and watch the other take over. `make demo` runs it, on the standard ports. It
// ends everything that it started.
//
//	demo [-server FILE] [-manifest FILE] [-for DURATION] [-record FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/streampair/streampair/hack/interrupt"
)

const (
	playURL = "http://localhost:5080/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc"
	help    = `
  Watch:    %s
            (press i in the player for statistics, b for the badge)
  Publish:  http://localhost:5080/live/publish.html?name=primary  (stop the primary here first)

  Keys:     p  stop or start the primary encoder      P  freeze or thaw it (connected, but silent)
            b  stop or start the backup encoder       B  freeze or thaw it
            k  kill -9 the encoder that is on         q  end
`
)

func main() {
	// Children ask the kernel to end with their parent (PR_SET_PDEATHSIG), which means the
	// thread that started them: this one.
	runtime.LockOSThread()
	server := flag.String("server", "bin/streampair-mediaserver", "the media server's `FILE`")
	manifest := flag.String("manifest", "config/samples/streampair.yaml", "the StreamPair manifest `FILE`")
	limit := flag.Duration("for", 0, "end after this `DURATION`; 0: when asked to")
	recording := flag.String("record", "", "record a switch as the player shows it into this animated GIF `FILE`, and end")
	flag.Parse()
	ctx, stop := interrupt.Context(os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	if err := run(ctx, *server, *manifest, *recording); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, manifest, recording string) error {
	server, err := start("server", binary, "--pair", manifest, "--log-level", "warn")
	if err != nil {
		return err
	}
	defer server.end(syscall.SIGTERM)
	if err := ready(ctx, server); err != nil {
		return err
	}
	exits := make(chan exit, 16)
	encoders := map[string]*encoder{
		"primary": {name: "primary", colour: "0x1d4ed8", toneHz: 440, exits: exits},
		"backup":  {name: "backup", colour: "0xb45309", toneHz: 587, exits: exits},
	}
	for _, e := range encoders {
		if err := e.start(); err != nil {
			return err
		}
		defer e.stop()
	}
	if recording != "" {
		return record(ctx, recording, encoders["primary"].kill)
	}
	fmt.Printf(help, playURL)
	keys, restore := keyboard(ctx)
	defer restore()
	news := follow(ctx)
	for {
		select {
		case <-ctx.Done():
			fmt.Println("\nending")
			return nil
		case <-server.done:
			return errors.New("the server has ended")
		case line := <-news:
			fmt.Printf("%s  %s\n", time.Now().Format("15:04:05.000"), line)
		case x := <-exits:
			if x.encoder.running == x.process {
				x.encoder.report()
			}
		case key := <-keys:
			if key == 'q' {
				return nil
			}
			if err := press(ctx, key, encoders); err != nil {
				return err
			}
		}
	}
}

// press does what a key asks for.
func press(ctx context.Context, key byte, encoders map[string]*encoder) error {
	switch key {
	case 'p':
		return encoders["primary"].toggle()
	case 'b':
		return encoders["backup"].toggle()
	case 'P':
		encoders["primary"].freeze()
	case 'B':
		encoders["backup"].freeze()
	case 'k':
		if e := encoders[active(ctx)]; e != nil {
			e.kill()
		}
	}
	return nil
}
