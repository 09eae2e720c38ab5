package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// whole lets the command follow a stream until the stream ends.
var whole = options{duration: eventually.Patience, blocking: true}

// found reads a number of the summary, such as that before "segments".
func found(t *testing.T, out, what string) int {
	t.Helper()
	_, summary, _ := strings.Cut(out, "http://")
	match := regexp.MustCompile(`(\d+) ` + what).FindStringSubmatch(summary)
	if match == nil {
		t.Fatalf("the summary has no count of %s:\n%s", what, out)
	}
	n, _ := strconv.Atoi(match[1])
	return n
}

func TestGoodLowLatencyStreamHasNoBreach(t *testing.T) {
	r, out := check(t, &liveServer{}, "/all.m3u8", whole)
	if r.failed(true) || !strings.Contains(out, "breaches: 0, advice: 0") {
		t.Errorf("breaches:\n%s", out)
	}
	// The first playlist has parts 60 and segments up to 14: each part after that is one reload.
	want := map[string]int{"playlists": 20, "by blocking reload": 19, "delta updates": 10, "segments": 8, "parts": 32, "discontinuities": 1}
	got := make(map[string]int)
	for what := range want {
		got[what] = found(t, out, what)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the summary (-want +got):\n%s%s", diff, out)
	}
}

func TestMediaPlaylistIsFollowedByItself(t *testing.T) {
	r, out := check(t, &liveServer{}, "/stream.m3u8?token=x", whole)
	if r.failed(true) || found(t, out, "parts") != 32 {
		t.Errorf("breaches:\n%s", out)
	}
}

func TestBrokenServersAreFound(t *testing.T) {
	third := func(f func(string) string) func(string) string {
		n := 0
		return func(text string) string {
			if n++; n == 3 {
				return f(text)
			}
			return text
		}
	}
	swap := func(name, other string) func(string, []byte) []byte {
		return func(asked string, data []byte) []byte {
			switch {
			case asked != name:
				return data
			case other == "":
				return nil
			case strings.HasPrefix(other, "p"):
				n, _ := strconv.Atoi(strings.Trim(other, "p"))
				return livePart(n)
			}
			return []byte(other)
		}
	}
	for _, test := range []struct {
		rule   string
		path   string
		server *liveServer
	}{
		{"content-type 1", "/stream", &liveServer{}},
		{"blocking-reload", "/stream.m3u8", &liveServer{deaf: true}},
		{"unavailable 1", "/stream.m3u8", &liveServer{media: swap("s17.mp4", "")}},
		{"unavailable 1", "/stream.m3u8", &liveServer{media: swap("p62.mp4", "")}},
		{"parts-samples 1, tfdt-back 1", "/stream.m3u8", &liveServer{media: swap("p62.mp4", "p59")}},
		{"media 1, parts-samples 1", "/stream.m3u8", &liveServer{media: swap("p62.mp4", "no part")}},
		{"init 1", "/stream.m3u8", &liveServer{media: swap("init1.mp4", "no section")}},
		{"header 1", "/stream.m3u8", &liveServer{text: third(func(string) string { return "busy" })}},
		{"part-hold-back 1", "/stream.m3u8", &liveServer{text: func(text string) string {
			return strings.Replace(text, "PART-HOLD-BACK=0.75", "PART-HOLD-BACK=0.25", 1)
		}}},
		{"bandwidth-peak 1", "/all.m3u8", &liveServer{media: func(name string, data []byte) []byte {
			return []byte(strings.Replace(string(data), "BANDWIDTH=100000", "BANDWIDTH=100", 1))
		}}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			o := whole
			if test.server.deaf {
				o.duration = time.Second // the stream does not go on
			}
			r, out := check(t, test.server, test.path, o)
			if !r.failed(false) || !regexp.MustCompile(`breaches: \d, advice: 0 `+test.rule).MatchString(out) {
				t.Errorf("want %s:\n%s", test.rule, out)
			}
		})
	}
}

func TestFollowingEndsWithAnErrorIfThereIsNoPlaylist(t *testing.T) {
	server := &liveServer{media: func(string, []byte) []byte { return nil }}
	for _, path := range []string{"/stream.m3u8", "/all.m3u8"} {
		if err := runOnly(t, server, path); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// ffmpeg's own muxer is a good server: what the checker finds in its streams is to be doubted.
func TestStreamOfFFmpegHasNoBreach(t *testing.T) {
	mediatest.SkipInShort(t)
	dir := t.TempDir()
	ffmpeg := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-re",
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-sc_threshold", "0", "-c:a", "aac",
		"-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "1", "-hls_list_size", "6",
		"-hls_flags", "delete_segments+program_date_time+temp_file", "-master_pl_name", "all.m3u8", "stream.m3u8")
	ffmpeg.Dir = dir
	ffmpeg.Stderr = os.Stderr
	if err := ffmpeg.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ffmpeg.Process.Kill() //nolint:errcheck // it may have ended
		ffmpeg.Wait()         //nolint:errcheck // it was killed
	})
	eventually.True(t, "the playlist has three segments", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "stream.m3u8"))
		return strings.Count(string(text), "#EXTINF") >= 3
	})
	files := http.FileServer(http.Dir(dir))
	r, out := check(t, files, "/all.m3u8", options{duration: 8 * time.Second, blocking: true})
	if r.failed(false) {
		t.Errorf("breaches:\n%s", out)
	}
	if n := found(t, out, "segments"); n < 5 {
		t.Errorf("%d segments were looked at:\n%s", n, out)
	}
	t.Log(out)
}
