package mediatest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestFilesAreMadeOnceAndAsAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want []string
	}{
		"defaults":     {Spec{Duration: 2 * time.Second}, []string{"h264", "320x180", "30 fps", "aac", "48000 Hz", "stereo"}},
		"B-frames":     {Spec{Duration: 2 * time.Second, BFrames: true, SampleRate: 44100, Container: "mp4"}, []string{"High", "44100 Hz"}},
		"one a second": {Spec{Duration: 4 * time.Second, FPS: "1", NoAudio: true, Color: "red"}, []string{"1 fps"}},
		"label":        {Spec{Duration: time.Second, Label: "PRIMARY", Color: "blue"}, []string{"320x180"}},
		"audio only":   {Spec{Duration: time.Second, NoVideo: true, Channels: 1}, []string{"mono"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := File(t, test.spec)
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			info, _ := exec.Command(RequireFFmpeg(t), "-hide_banner", "-i", path).CombinedOutput()
			for _, want := range test.want {
				if !strings.Contains(string(info), want) {
					t.Errorf("no %q in %s", want, info)
				}
			}
			after, err := os.Stat(File(t, test.spec))
			if err != nil || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("the file was made a second time (%v)", err)
			}
		})
	}
}

func TestPublisherCanBePausedAndKilled(t *testing.T) {
	p := Start(t, "-re", "-f", "lavfi", "-i", "testsrc2", "-f", "null", "-")
	for deadline := time.Now().Add(20 * time.Second); p.Output() == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("ffmpeg's log is empty")
		}
	}
	p.Pause()
	select {
	case <-p.Exited():
		t.Fatal("ffmpeg ended on its own: ", p.Err())
	default:
	}
	p.Resume()
	p.Stop()
	p.Kill()
}
