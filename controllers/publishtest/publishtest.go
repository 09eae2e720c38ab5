// Package publishtest publishes a test picture and a tone in tests of
// the operator, with a real encoder: ffmpeg. [Start] is all there is.
package publishtest

import "os/exec"

// TB is what this package needs of *testing.T.
type TB interface {
	Helper()
	Cleanup(f func())
	Fatalf(format string, args ...any)
}

// An Encoder is a running ffmpeg.
type Encoder struct {
	// Gone is closed when ffmpeg has ended.
	Gone chan struct{}
	cmd  *exec.Cmd
}

// Start publishes to an RTMP URL until the test ends, or until the
// server refuses or ends the stream. Each second has one key frame.
func Start(t TB, url string) *Encoder {
	t.Helper()
	e := &Encoder{Gone: make(chan struct{})}
	e.cmd = exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re",
		"-f", "lavfi", "-i", "testsrc=size=160x90:rate=15", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15", "-bf", "0", "-b:v", "100k",
		"-c:a", "aac", "-b:a", "48k", "-f", "flv", url)
	if err := e.cmd.Start(); err != nil {
		t.Fatalf("install ffmpeg first (make test does): %v", err)
	}
	go func() {
		_ = e.cmd.Wait()
		close(e.Gone)
	}()
	t.Cleanup(e.Kill)
	return e
}

// Kill ends ffmpeg without a word to the server.
func (e *Encoder) Kill() {
	_ = e.cmd.Process.Kill()
	<-e.Gone
}
