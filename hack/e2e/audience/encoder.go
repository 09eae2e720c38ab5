package audience

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// EncoderConfig says what an Encoder sends, and where.
type EncoderConfig struct {
	// File is the programme. It is sent in real time, for ever, without being encoded.
	File string
	// URL is the publish URL with its token, of RTMP or SRT.
	URL string
	// RestartDelay is how long an encoder that has ended waits before it tries again, like a
	// real encoder that reconnects. Default 500 ms.
	RestartDelay time.Duration
	// Log gets ffmpeg's output, and a line when ffmpeg ends. Default: nothing is logged.
	Log io.Writer
}

// An Encoder is an ffmpeg that publishes and is restarted whenever it ends.
type Encoder struct {
	cfg EncoderConfig

	mu      sync.Mutex // guards both
	process *os.Process
	starts  int
}

// NewEncoder returns an encoder that does nothing until Run.
func NewEncoder(cfg EncoderConfig) *Encoder {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.RestartDelay == 0 {
		cfg.RestartDelay = 500 * time.Millisecond
	}
	return &Encoder{cfg: cfg}
}

// Run publishes until ctx ends. It only returns an error if ffmpeg cannot be started.
func (e *Encoder) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := e.publish(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(e.cfg.RestartDelay):
		}
	}
	return nil
}

// publish runs ffmpeg once. Without -max_interleave_delta ffmpeg delays
// sound until the next picture, and browsers delay pictures until their
// sound. With -rw_timeout ffmpeg gives up a server that does not answer.
func (e *Encoder) publish(ctx context.Context) error {
	output := []string{"-f", "flv", "-flvflags", "no_duration_filesize", "-rw_timeout", "5000000", e.cfg.URL}
	if strings.HasPrefix(e.cfg.URL, "srt:") {
		output = []string{"-f", "mpegts", e.cfg.URL}
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-hide_banner", "-loglevel", "warning", "-nostats", "-nostdin",
		"-re", "-stream_loop", "-1", "-i", e.cfg.File, "-c", "copy", "-max_interleave_delta", "1"}, output...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	e.set(cmd.Process)
	err := cmd.Wait()
	e.set(nil)
	if ctx.Err() == nil {
		_, _ = fmt.Fprintf(e.cfg.Log, "%s ffmpeg ended: %v\n%s", time.Now().Format(clock), err, said.Bytes())
	}
	return nil
}

// clock is the format of times in logs.
const clock = "15:04:05.000"

func (e *Encoder) set(p *os.Process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.process = p
	if p != nil {
		e.starts++
	}
}

// Starts returns how often the encoder has begun to publish.
func (e *Encoder) Starts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts
}

// Kill ends the encoder as a power cut does. Another one is then started.
func (e *Encoder) Kill() error { return e.signal(syscall.SIGKILL) }

// Freeze keeps the encoder connected and silent, until Kill.
// It must not be thawed, because it would send its backlog.
func (e *Encoder) Freeze() error { return e.signal(syscall.SIGSTOP) }

// signal sends a signal to the process. If the process
// is just being restarted, signal waits for it.
func (e *Encoder) signal(s syscall.Signal) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		e.mu.Lock()
		p := e.process
		e.mu.Unlock()
		if p != nil {
			if err := p.Signal(s); !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		if time.Now().After(deadline) {
			return errors.New("the encoder does not run")
		}
	}
}
