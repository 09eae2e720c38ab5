// Package mediatest gives tests real media: files made by ffmpeg, and ffmpeg processes that
// publish them. These processes can be killed, frozen and resumed, as encoders fail in practice.
//
// It is for tests and benchmarks only, and asserts nothing about the product. Start
// with File and Publish. ffmpeg is required: without it a test fails with one line
// that says what to install. With -short, the test is skipped.
package mediatest

import (
	"os/exec"
	"strings"
	"sync"
)

// TB is the part of testing.TB that the helpers need. A program that is no test, such
// as hack/bench, can implement it too.
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

// ffmpegVersion is part of every cache key, because another encoder makes other files.
var ffmpegVersion = sync.OnceValue(func() string {
	path, err := ffmpegPath()
	if err != nil {
		return ""
	}
	out, _ := exec.Command(path, "-version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
})

// RequireFFmpeg returns the path of ffmpeg, or fails the test. With -short it skips the test.
func RequireFFmpeg(tb TB) string {
	tb.Helper()
	SkipInShort(tb)
	path, err := ffmpegPath()
	if err != nil {
		tb.Fatal("this test needs ffmpeg on the PATH: install it, e.g. apt-get install ffmpeg")
	}
	return path
}
