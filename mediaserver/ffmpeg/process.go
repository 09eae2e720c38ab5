package ffmpeg

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
)

// panicLabel is the label of panics about ffmpeg's input and output.
const panicLabel = "ffmpeg"

// A Process is a running ffmpeg.
type Process struct {
	Started time.Time
	PID     int
	// Quit is closed when the process is to end or has ended.
	Quit     chan struct{}
	stopOnce sync.Once
	// Done is closed when the process is reaped and its goroutines have ended. Then
	// Err is the reason.
	Done chan struct{}
	Err  error
}

// A Command is what to start.
type Command struct {
	// Path is the ffmpeg's file. Required.
	Path string
	Args []string
	// MemoryBytes is how much memory of its own the process may have, in bytes (RLIMIT_DATA). More is
	// refused, and ffmpeg then ends. Default: no limit. Only Linux limits.
	MemoryBytes uint64
}

// IO has the functions that move the bytes of a process, each on its own goroutine.
type IO struct {
	// Feed writes to the process until p.Quit is closed or a write fails.
	Feed func(p *Process, stdin io.Writer)
	// Read reads the process's output until its end, or until p.Quit is closed.
	Read func(p *Process, stdout io.Reader) error
}

// Start starts ffmpeg. A panic in Feed or Read ends the process.
func Start(c Command, moves IO, r *recovery.Recovery) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = environment()
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second // for standard error, if another process holds it open
	p := &Process{Started: time.Now(), Quit: make(chan struct{}), Done: make(chan struct{})}
	started := make(chan error)
	go p.run(cmd, c.MemoryBytes, moves, r, started)
	if err := <-started; err != nil {
		<-p.Done
		return nil, err
	}
	p.PID = cmd.Process.Pid
	return p, nil
}

// Stop kills the process. Done is closed when the process has ended.
func (p *Process) Stop() { p.stopOnce.Do(func() { close(p.Quit) }) }

// run starts the process and returns when it has ended. It keeps its thread, because the kernel
// kills the process when the thread that started it ends (see attributes).
func (p *Process) run(cmd *exec.Cmd, memory uint64, moves IO, r *recovery.Recovery, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.Done)

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
	if err := limitMemory(cmd.Process.Pid, memory); err != nil {
		_ = cmd.Process.Kill() // an error means that it has already ended
		_ = cmd.Wait()
		started <- fmt.Errorf("limit the memory of ffmpeg: %w", err)
		return
	}
	started <- nil

	var group sync.WaitGroup
	group.Go(func() { // a killed process closes its pipes, which ends Feed and Read
		<-p.Quit
		_ = cmd.Process.Kill() // an error means that it has already ended
	})
	var fedErr, readErr error
	group.Go(func() {
		fedErr = r.Do(panicLabel, func() { moves.Feed(p, stdin) })
		_ = stdin.Close() // can't fail for a pipe
		if fedErr != nil {
			p.Stop()
		}
	})
	if err := r.Do(panicLabel, func() { readErr = moves.Read(p, stdout) }); err != nil {
		readErr = err
	}
	p.Stop()
	waitErr := cmd.Wait()
	group.Wait()
	p.Err = endOf(cmp.Or(fedErr, readErr), waitErr, stderr.String())
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

// environment returns the environment variables that ffmpeg needs. The server's own
// environment has flags and secrets, which a decoder must not see.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
