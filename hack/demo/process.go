package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// process is a child that is ended with this program, however that ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func start(what, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	// An own process group, so that Ctrl-C reaches this program alone, which then ends
	// its children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", what, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended shows in its own messages
		close(p.done)
	}()
	return p, nil
}

// end asks the process to end, and after 5 s makes it.
func (p *process) end(how os.Signal) {
	_ = p.cmd.Process.Signal(how)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// encoder is one ffmpeg that publishes a picture with its name and a running clock, and
// a tone.
type encoder struct {
	name, colour string
	toneHz       int

	running *process
	frozen  bool
	exits   chan<- exit
}

// exit tells that one of an encoder's processes has ended.
type exit struct {
	encoder *encoder
	process *process
}

func (e *encoder) start() error {
	const text = "drawtext=fontcolor=white:x=(w-tw)/2:"
	// The moving dash shows every single frame.
	filter := fmt.Sprintf("%sfontsize=110:y=150:text='%s',%sfontsize=90:y=330:text='%%{localtime\\:%%X}',"+
		"drawtext=fontcolor=white:fontsize=90:y=520:text='-':x='mod(t*320,w)'", text, e.name, text)
	p, err := start(e.name+" encoder", "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re",
		"-f", "lavfi", "-i", "color=c="+e.colour+":s=1280x720:r=30",
		"-f", "lavfi", "-i", "sine=frequency="+strconv.Itoa(e.toneHz)+":beep_factor=3:sample_rate=48000",
		"-vf", filter, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-b:v", "2500k", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-ac", "2",
		"-f", "flv", "rtmp://127.0.0.1/live/"+e.name)
	if err != nil {
		return err
	}
	e.running, e.frozen = p, false
	go func() {
		<-p.done
		e.exits <- exit{e, p}
	}()
	fmt.Printf("%s encoder started\n", e.name)
	return nil
}

func (e *encoder) stop() {
	if e.running == nil {
		return
	}
	e.running.end(os.Interrupt)
	e.running = nil
	fmt.Printf("%s encoder stopped\n", e.name)
}

func (e *encoder) toggle() error {
	if e.running == nil {
		return e.start()
	}
	e.stop()
	return nil
}

// freeze leaves the encoder connected but silent, or lets it go on.
func (e *encoder) freeze() {
	if e.running == nil {
		return
	}
	e.frozen = !e.frozen
	signal, word := syscall.SIGCONT, "thawed"
	if e.frozen {
		signal, word = syscall.SIGSTOP, "frozen: it stays connected and sends nothing"
	}
	_ = e.running.cmd.Process.Signal(signal)
	fmt.Printf("%s encoder %s\n", e.name, word)
}

func (e *encoder) kill() {
	if e.running == nil {
		return
	}
	_ = e.running.cmd.Process.Kill()
	<-e.running.done
	e.running = nil
	fmt.Printf("%s encoder killed\n", e.name)
}

// report says that the encoder has ended by itself.
func (e *encoder) report() {
	e.running = nil
	fmt.Printf("%s encoder has ended; press %c to start it again\n", e.name, e.name[0])
}
