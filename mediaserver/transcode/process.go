package transcode

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
)

// panicLabel is the label of panics about ffmpeg's input and output.
const panicLabel = "ffmpeg"

// A process is a running ffmpeg.
type process struct {
	started time.Time
	pid     int
	// quit is closed when the process is to end or has ended.
	quit     chan struct{}
	stopOnce sync.Once
	// done is closed when the process is reaped and its goroutines have ended. Then
	// err is the reason.
	done chan struct{}
	err  error
}

// processIO has the functions that move the bytes of a process, each on its own goroutine.
type processIO struct {
	// feed writes to the process until p.quit is closed or a write fails.
	feed func(p *process, stdin io.Writer)
	// read reads the process's output until its end, or until p.quit is closed.
	read func(p *process, stdout io.Reader) error
}

// startProcess starts the ffmpeg at path. A panic in feed or read ends the process.
func startProcess(path string, args []string, moves processIO, r *recovery.Recovery) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = childEnv()
	cmd.SysProcAttr = childProcAttr()
	cmd.WaitDelay = time.Second // for standard error, if another process holds it open
	p := &process{started: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go p.run(cmd, moves, r, started)
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// stop kills the process. done is closed when it has ended.
func (p *process) stop() { p.stopOnce.Do(func() { close(p.quit) }) }

// run starts the process and returns when it has ended. It keeps its thread, because the kernel
// kills the process when the thread that started it ends (see childProcAttr).
func (p *process) run(cmd *exec.Cmd, moves processIO, r *recovery.Recovery, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)

	stderr := &lastLines{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		started <- err
		return
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		started <- err
		return
	}
	if err := cmd.Start(); err != nil {
		started <- fmt.Errorf("start ffmpeg: %w", err)
		return
	}
	started <- nil

	var group sync.WaitGroup
	group.Go(func() { // a killed process closes its pipes, which ends feed and read
		<-p.quit
		_ = cmd.Process.Kill() // an error means that it has already ended
	})
	var fedErr, readErr error
	group.Go(func() {
		fedErr = r.Do(panicLabel, func() { moves.feed(p, stdin) })
		_ = stdin.Close() // can't fail for a pipe
		if fedErr != nil {
			p.stop()
		}
	})
	if err := r.Do(panicLabel, func() { readErr = moves.read(p, stdout) }); err != nil {
		readErr = err
	}
	p.stop()
	waitErr := cmd.Wait()
	group.Wait()
	p.err = endOf(cmp.Or(fedErr, readErr), waitErr, stderr.String())
}

// endOf returns one error for the end of the process.
func endOf(read, wait error, stderr string) error {
	err := wait
	if read != nil && !errors.Is(read, io.EOF) && !errors.Is(read, io.ErrUnexpectedEOF) {
		err = read
	}
	if err == nil {
		err = errors.New("it ended by itself")
	}
	if stderr != "" {
		return fmt.Errorf("ffmpeg: %w: %s", err, stderr)
	}
	return fmt.Errorf("ffmpeg: %w", err)
}

// lastLines keeps the end of ffmpeg's standard error, for the log.
type lastLines struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const maxStderr = 1 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if n := len(l.buf) - maxStderr; n > 0 {
		l.buf = append(l.buf[:0], l.buf[n:]...)
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ReplaceAll(string(bytes.TrimSpace(l.buf)), "\n", " / ")
}
