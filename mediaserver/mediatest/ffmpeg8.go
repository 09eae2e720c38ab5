package mediatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// PublishFFmpeg8 starts FFmpeg 8, which sends file to url in real time without re-encoding. format
// is its muxer, "whip" or "flv". args are arguments of testdata/ffmpeg8/publish.mjs. RequireFFmpeg
// may find an older FFmpeg, which has no WHIP and no Enhanced RTMP with several tracks.
func PublishFFmpeg8(tb TB, file, format, url string, args ...string) *Publisher {
	tb.Helper()
	return startCommand(tb, ffmpeg8(tb, file, format, url, args))
}

// PublishFFmpeg8From is PublishFFmpeg8 in another network namespace, see NewNamespace.
func PublishFFmpeg8From(tb TB, ns *Namespace, file, format, url string, args ...string) *Publisher {
	tb.Helper()
	return startCommand(tb, append([]string{"ip", "netns", "exec", ns.Name}, ffmpeg8(tb, file, format, url, args)...))
}

// ffmpeg8 returns the command line.
func ffmpeg8(tb TB, file, format, url string, args []string) []string {
	tb.Helper()
	SkipInShort(tb)
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Fatal("this test needs Node.js on the PATH: install Node.js 20 or later (https://nodejs.org)")
	}
	_, source, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(source), "testdata", "ffmpeg8")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "node-av")); err != nil {
		tb.Fatal("this test needs FFmpeg 8 as a package of Node.js: run make .cache/ffmpeg8.installed")
	}
	return append([]string{node, filepath.Join(folder, "publish.mjs"), file, format, url}, args...)
}
