package flv_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// The package reads what ffmpeg writes, and ffmpeg reads what the package writes from that.
func TestFFmpegUnderstands(t *testing.T) {
	ffmpeg := mediatest.RequireFFmpeg(t)
	in, err := os.Open(mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second, BFrames: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w, err := flv.NewWriter(&out, true, true)
	if err != nil {
		t.Fatal(err)
	}
	pictures, frames := copyFile(t, flv.NewReader(in, 0), w)
	if pictures != 60 || frames < 90 {
		t.Errorf("%d pictures and %d audio frames", pictures, frames)
	}
	cmd := exec.Command(ffmpeg, "-hide_banner", "-loglevel", "warning", "-xerror", "-f", "flv", "-i", "pipe:0",
		"-progress", "pipe:1", "-f", "null", "-")
	cmd.Stdin = &out
	text, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "frame=60\n") {
		t.Errorf("ffmpeg: %v\n%s", err, text)
	}
}

// copyFile reads all tags of a file and writes them again.
func copyFile(t *testing.T, r *flv.Reader, w *flv.Writer) (pictures, frames int) {
	t.Helper()
	var clock flv.Unwrapper
	for {
		tag, err := r.Next()
		if err == io.EOF {
			return pictures, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		at := clock.Unwrap(tag.Timestamp)
		switch tag.Type {
		case flv.VideoTag:
			p, err := flv.ParseVideo(tag.Body)
			if err != nil {
				t.Fatal(err)
			}
			switch p.Kind {
			case flv.SequenceHeader:
				var c flv.AVCConfig
				if c, err = flv.ParseAVCConfig(p.Data); err == nil {
					err = w.WriteVideoConfig(at, c.SPS[0], c.PPS[0])
				}
			case flv.CodedFrames:
				var nalus [][]byte
				if nalus, err = flv.SplitAVCC(p.Data, 4); err == nil {
					err = w.WriteVideo(at, at+p.CompositionTime, p.Keyframe, nalus)
				}
				pictures++
			}
			if err != nil {
				t.Fatal(err)
			}
		case flv.AudioTag:
			p, err := flv.ParseAudio(tag.Body)
			switch {
			case err != nil:
			case p.Kind == flv.SequenceHeader:
				err = w.WriteAudioConfig(at, p.Codec, p.Data)
			case p.Kind == flv.CodedFrames:
				err = w.WriteAudio(at, p.Codec, p.Data)
				frames++
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
