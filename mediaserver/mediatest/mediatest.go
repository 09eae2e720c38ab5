// Package mediatest gives tests real media: files made by ffmpeg, and ffmpeg
// processes that publish them and can be killed, frozen and resumed like the
// encoder of a viewer's worst evening.
//
// It is for tests and benchmarks only and holds no assertions about the product. Start
// from File and Publish. ffmpeg is a requirement, not an option: where it is missing a test
// fails with one line that says what to install.
package mediatest

import (
	"os/exec"
	"strings"
	"sync"
)

// TB is what the helpers need of a testing.TB, so that a program that is no test, such
// as hack/bench, can use them too.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(f func())
}

var ffmpegPath = sync.OnceValues(func() (string, error) { return exec.LookPath("ffmpeg") })

// ffmpegVersion is part of every cache key: another encoder makes other files.
var ffmpegVersion = sync.OnceValue(func() string {
	path, err := ffmpegPath()
	if err != nil {
		return ""
	}
	out, _ := exec.Command(path, "-version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
})

// RequireFFmpeg returns the path of ffmpeg, or fails the test.
func RequireFFmpeg(tb TB) string {
	tb.Helper()
	path, err := ffmpegPath()
	if err != nil {
		tb.Fatal("this test needs ffmpeg on the PATH: install it, e.g. apt-get install ffmpeg")
	}
	return path
}
