package server

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/events"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// x264Defaults is a file with ffmpeg's defaults: High profile,
// B-frames with a pyramid, 250 pictures a GOP, AAC at 44.1 kHz.
var x264Defaults = mediatest.Programme{
	Duration: 16 * time.Second, BFrames: true, GOP: 250 * time.Second / fps, SampleRate: 44100, Container: "mp4",
}

// publishBFrames publishes x264Defaults as the README advises.
func publishBFrames(s *testServer) (path string) {
	path = file(s.t, x264Defaults)
	mediatest.Start(s.t, "-re", "-i", path, "-c", "copy", "-f", "flv", s.publishURL("primary"))
	s.onAir("primary", true, false)
	return path
}

// warnsOfBFrames checks that status and events say how to switch B-frames off.
func (s *testServer) warnsOfBFrames(words string) {
	s.t.Helper()
	tells := func(warnings []control.Warning) bool {
		return slices.ContainsFunc(warnings, func(w control.Warning) bool {
			return w.Code == "BFrames" && strings.Contains(w.Message, words) && strings.Contains(w.Message, "-bf 0")
		})
	}
	eventually.True(s.t, "a warning in the status", func() bool {
		st := s.status()
		i := slices.IndexFunc(st.Streams, func(one control.Stream) bool { return one.StreamID == "primary" })
		return i >= 0 && tells(st.Streams[i].Warnings) && tells(s.pair("sunday").Legs[0].Warnings)
	})
	for state := range s.states("primary", "backupStreamId", "backup") {
		for _, w := range state.Warnings {
			if w.Role == "Primary" && tells([]control.Warning{{Code: w.Code, Message: w.Message}}) {
				return
			}
		}
	}
	s.t.Error("no warning in the player's events")
}

// states yields the states of a pair, as players are told them.
func (s *testServer) states(streamID string, query ...string) func(yield func(events.State) bool) {
	s.t.Helper()
	client := &http.Client{Timeout: patience}
	answer, err := client.Get(s.url("events/"+streamID, query...))
	if err != nil {
		s.t.Fatal(err)
	}
	return func(yield func(events.State) bool) {
		defer client.CloseIdleConnections()
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewScanner(answer.Body)
		for event := ""; lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || event != "state" {
				continue
			}
			var state events.State
			if err := json.Unmarshal([]byte(data), &state); err != nil {
				s.t.Error(err)
			}
			if !yield(state) {
				return
			}
		}
	}
}

func TestAFileWithBFramesPlaysAtItsFrameRateInSync(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	publishBFrames(s)
	v := s.watchPair()
	first := v.sees(0, 1, time.Time{})
	v.sees(0, 8*fps, first.Seen)
	s.warnsOfBFrames("re-encoded")
	r := v.leaves()
	r.isContinuous()

	// The viewer may have joined with fewer pictures. After that none may be missing.
	var lost, steps int
	for i := fps; i < len(r.sightings); i++ {
		if step := r.sightings[i].Frame - r.sightings[i-1].Frame; step < 1 {
			steps++
		} else {
			lost += step - 1
		}
	}
	t.Logf("%d pictures decoded, %.2f a second, %d left out", len(r.sightings), r.frameRate(), lost)
	if steps > 0 || lost > fps || r.frameRate() < fps*0.9 || r.frameRate() > fps*1.1 {
		t.Errorf("%d pictures were left out, %d came in the wrong order, %.2f a second", lost, steps, r.frameRate())
	}
	r.isInSync(5, 0, 0)
	r.hasSound(maxSilence, r.soundBegins())
}

func TestWithoutFFmpegEveryPictureOfAFileWithBFramesIsExact(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("ffmpeg is needed to check what the server does without it: install it, e.g. apt-get install ffmpeg")
	}
	s := startServer(t, sticky, func(c *Config) { c.FFmpegPath = "" })
	path := publishBFrames(s)
	v := s.watchPair()
	first := v.sees(0, 1, time.Time{})
	v.sees(0, fps, first.Seen)
	v.hears(6*time.Second, first.Seen)
	s.warnsOfBFrames("left out")
	r := v.leaves()
	r.isContinuous()
	r.isInSync(1, 0, 0)

	const width, height = 640, 360
	var units [][]byte
	for _, p := range r.video.Pictures {
		units = append(units, p.AnnexB)
	}
	shown := make(map[int]mediatest.Image)
	err := mediatest.Decode(t.Context(), width, height, units, func(m mediatest.DecodedImage) {
		code, ok := m.TimeCode()
		if !ok {
			t.Errorf("picture %d cannot be read", m.Unit)
			return
		}
		shown[code.Frame] = m.Image
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != len(units) {
		t.Errorf("%d of %d pictures were decoded", len(shown), len(units))
	}
	compared, worst := 0, 100.0
	err = mediatest.DecodeFile(t.Context(), path, width, height, func(m mediatest.Image) {
		code, _ := m.TimeCode()
		image, ok := shown[code.Frame]
		if !ok {
			return
		}
		compared++
		psnr := mediatest.PSNR(image, m)
		if worst = min(worst, psnr); psnr < 40 {
			t.Errorf("picture %d was shown with %.1f dB", code.Frame, psnr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared != len(shown) {
		t.Errorf("%d of %d pictures are those of the file", compared, len(shown))
	}
	t.Logf("%d pictures shown, %.2f a second, worst %.1f dB against a full decode", compared, r.frameRate(), worst)
}
