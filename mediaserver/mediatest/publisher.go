package mediatest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Publisher is a running ffmpeg that publishes. It ends with its test.
type Publisher struct {
	tb     TB
	cmd    *exec.Cmd
	args   []string
	log    tail
	exited chan struct{}
	err    error // set before exited is closed
}

// Publish starts ffmpeg, which sends file to url in real time without re-encoding.
// inputArgs come before the input ("-stream_loop", "-1").
func Publish(tb TB, file, url string, inputArgs ...string) *Publisher {
	tb.Helper()
	args := append([]string{"-re"}, inputArgs...)
	return Start(tb, append(args, "-i", file, "-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)...)
}

// Start starts ffmpeg with any arguments, like Publish.
func Start(tb TB, args ...string) *Publisher {
	tb.Helper()
	args = append([]string{RequireFFmpeg(tb), "-hide_banner", "-loglevel", "info", "-nostats", "-nostdin"}, args...)
	return startCommand(tb, args)
}

// startCommand starts a command that publishes.
func startCommand(tb TB, args []string) *Publisher {
	tb.Helper()
	p := &Publisher{tb: tb, cmd: exec.Command(args[0], args[1:]...), args: args, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	tb.Cleanup(p.cleanup)
	return p
}

func (p *Publisher) cleanup() {
	p.Kill()
	if p.tb.Failed() {
		p.tb.Logf("%s:\n%s", strings.Join(p.args, " "), p.log.String())
	}
}

// Kill ends ffmpeg like a power cut (SIGKILL), and waits until it is gone.
func (p *Publisher) Kill() {
	p.signal(os.Kill)
	<-p.exited
}

// Stop ends ffmpeg like a user (SIGINT), so that it unpublishes. It waits for the end,
// and kills a process that takes longer than ten seconds.
func (p *Publisher) Stop() {
	p.signal(os.Interrupt)
	p.signal(syscall.SIGCONT)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Pause freezes ffmpeg (SIGSTOP): the connection stays open and silent.
func (p *Publisher) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused ffmpeg go on (SIGCONT). What was due meanwhile is sent late.
func (p *Publisher) Resume() { p.signal(syscall.SIGCONT) }

// Exited is closed when the process has ended, for any reason.
func (p *Publisher) Exited() <-chan struct{} { return p.exited }

// Err returns how the process ended. Call it after Exited is closed.
func (p *Publisher) Err() error { return p.err }

// Output returns what ffmpeg has printed, at most the last 64 KB.
func (p *Publisher) Output() string { return p.log.String() }

// Pid returns the process id.
func (p *Publisher) Pid() int { return p.cmd.Process.Pid }

func (p *Publisher) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Errorf("send %v to %s: %v", s, p.args[0], err)
	}
}

// A tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if n := len(t.buf) - tailBytes; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
