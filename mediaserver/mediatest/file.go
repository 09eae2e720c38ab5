package mediatest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Spec is the content of a test file. The zero value is ten seconds of a moving test
// picture and a stereo tone. The picture is 320x180 at 30 pictures a second, with an IDR every two
// seconds and no B-frames. The tone is AAC at 48 kHz.
type Spec struct {
	// Duration is the length of the file; default 10 s.
	Duration time.Duration

	// NoVideo leaves out the video track.
	NoVideo bool
	// Width and Height are in pixels; default 320x180.
	Width, Height int
	// FPS is the frame rate as ffmpeg reads it: "30" (default), "1", "30000/1001".
	FPS string
	// Color makes the picture one solid colour: an ffmpeg colour name, or 0xRRGGBB.
	// Default: ffmpeg's testsrc2.
	Color string
	// Label is drawn into the picture, if not empty, above a clock with the time in the
	// file. It may have only letters, digits, blanks and dashes.
	Label string
	// Filter is appended to the chain of video filters.
	Filter string
	// GOP is the time between IDRs; default 2 s.
	GOP time.Duration
	// BFrames selects x264's defaults (medium, High profile, three B-frames,
	// b-pyramid) instead of ultrafast and zerolatency.
	BFrames bool
	// VideoArgs are appended to the video encoder's arguments.
	VideoArgs []string

	// NoAudio leaves out the audio track.
	NoAudio bool
	// SampleRate is in Hz, default 48000. Channels is their number, default 2.
	SampleRate, Channels int
	// ToneHz is the frequency of the tone, default 440.
	ToneHz int

	// Container is the file's format and name extension; default "flv". Use "mp4" or
	// "mkv" for codecs that FLV can't carry.
	Container string
	// VideoCodec and AudioCodec are ffmpeg's encoders, default libx264 and aac.
	VideoCodec, AudioCodec string
}

func (s Spec) withDefaults() Spec {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orString := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	if s.Duration == 0 {
		s.Duration = 10 * time.Second
	}
	if s.GOP == 0 {
		s.GOP = 2 * time.Second
	}
	orInt(&s.Width, 320)
	orInt(&s.Height, 180)
	orInt(&s.SampleRate, 48000)
	orInt(&s.Channels, 2)
	orInt(&s.ToneHz, 440)
	orString(&s.FPS, "30")
	orString(&s.Container, "flv")
	orString(&s.VideoCodec, "libx264")
	orString(&s.AudioCodec, "aac")
	return s
}

// frameRate returns FPS as a number.
func (s Spec) frameRate() float64 {
	num, den, found := strings.Cut(s.FPS, "/")
	n, _ := strconv.ParseFloat(num, 64)
	if d, _ := strconv.ParseFloat(den, 64); found && d > 0 {
		n /= d
	}
	return n
}

// args returns ffmpeg's arguments without the output file.
func (s Spec) args() []string {
	seconds := strconv.FormatFloat(s.Duration.Seconds(), 'f', 3, 64)
	var in, out []string
	if !s.NoVideo {
		source := fmt.Sprintf("testsrc2=s=%dx%d:r=%s:d=%s", s.Width, s.Height, s.FPS, seconds)
		if s.Color != "" {
			source = fmt.Sprintf("color=c=%s:s=%dx%d:r=%s:d=%s", s.Color, s.Width, s.Height, s.FPS, seconds)
		}
		in = append(in, "-f", "lavfi", "-i", source)

		filters := []string{}
		if s.Label != "" {
			filters = append(filters, fmt.Sprintf(
				`drawtext=text='%s %%{pts\:hms}':x=(w-tw)/2:y=(h-th)/2:fontsize=h/8:fontcolor=white:box=1:boxcolor=black@0.6`, s.Label))
		}
		if s.Filter != "" {
			filters = append(filters, s.Filter)
		}
		filters = append(filters, "format=yuv420p")
		gop := max(1, int(s.GOP.Seconds()*s.frameRate()+0.5))
		out = append(out, "-vf", strings.Join(filters, ","), "-c:v", s.VideoCodec, "-g", strconv.Itoa(gop))
		if s.VideoCodec == "libx264" {
			out = append(out, "-keyint_min", strconv.Itoa(gop), "-sc_threshold", "0")
			if !s.BFrames {
				out = append(out, "-preset", "ultrafast", "-tune", "zerolatency", "-bf", "0")
			}
		}
		out = append(out, s.VideoArgs...)
	}
	if !s.NoAudio {
		in = append(in, "-f", "lavfi", "-i", fmt.Sprintf("sine=f=%d:r=%d:d=%s", s.ToneHz, s.SampleRate, seconds))
		out = append(out, "-c:a", s.AudioCodec, "-ar", strconv.Itoa(s.SampleRate), "-ac", strconv.Itoa(s.Channels), "-b:a", "96k")
	}
	return append(append([]string{"-hide_banner", "-loglevel", "error", "-nostdin"}, in...), append(out, "-t", seconds)...)
}

// makeFile keeps two tests of one process from encoding the same file at once. Between
// processes the rename at the end does so.
var makeFile sync.Mutex

// File returns the path of a media file with the content of spec. The file is made once, and kept
// in the system's folder for temporary files under a name derived from spec.
func File(tb TB, spec Spec) string {
	tb.Helper()
	ffmpeg := RequireFFmpeg(tb)
	spec = spec.withDefaults()
	args := spec.args()

	sum := sha256.Sum256([]byte(ffmpegVersion() + "\x00" + spec.Container + "\x00" + strings.Join(args, "\x00")))
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("streampair-mediatest-%d", os.Getuid()))
	path := filepath.Join(folder, hex.EncodeToString(sum[:10])+"."+spec.Container)

	makeFile.Lock()
	defer makeFile.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		tb.Fatalf("make the folder for test media: %v", err)
	}
	tmp, err := os.CreateTemp(folder, "making-*."+spec.Container)
	if err != nil {
		tb.Fatalf("make test media: %v", err)
	}
	_ = tmp.Close()
	defer os.Remove(tmp.Name())

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	args = append(args, "-y", tmp.Name())
	if out, err := exec.CommandContext(ctx, ffmpeg, args...).CombinedOutput(); err != nil {
		tb.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		tb.Fatalf("keep test media: %v", err)
	}
	return path
}
