package measure_test

import (
	"fmt"
	"math"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/measure/picture"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

const (
	// judged is the length from which on the judges tell of an interval by default.
	judged = 2 * time.Second
	// late is how late we may see that an interval has begun.
	late = 3 * time.Second
	// silenceEdge is by how much the ends of silence may differ: blocks of sound and the codec's
	// frames.
	silenceEdge = 200 * time.Millisecond
	// silence is silencedetect's default.
	silence = -60
)

// ffmpeg's blackdetect, freezedetect, silencedetect and ebur128 judge what we find in key frames
// and in sound.
func TestMeasuresAgreeWithFFmpeg(t *testing.T) {
	mediatest.SkipInShort(t)
	var found, wanted atomic.Int64
	t.Run("programmes", func(t *testing.T) {
		for _, p := range programmes {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				f, w := agrees(t, p)
				found.Add(f)
				wanted.Add(w)
			})
		}
	})
	t.Logf("%d of the judges' %d intervals found", found.Load(), wanted.Load())
	if wanted.Load() == 0 || float64(found.Load()) < 0.95*float64(wanted.Load()) {
		t.Errorf("%d of the judges' %d intervals found, want 95 %%", found.Load(), wanted.Load())
	}
}

// agrees compares what we find in a programme with what the judges find. It returns how many of the judges'
// intervals we have found.
func agrees(t *testing.T, p programme) (found, wanted int64) {
	t.Helper()
	file := p.encode(t)
	judges, ours := judge(t, file), measure(t, file)
	kinds := []struct {
		name       string
		judge, our []interval
		edge       time.Duration
	}{
		{"black", judges.black, ours.black, gop},
		{"frozen", judges.frozen, ours.frozen, gop},
		{"silent", judges.silent, ours.silent, silenceEdge},
	}
	for _, k := range kinds {
		for _, want := range atLeast(judged, k.judge) {
			wanted++
			if begunBy(late, want, k.our) {
				found++
			} else {
				t.Logf("%s at %v is not found in %v", k.name, want, k.our)
			}
		}
		if extra := beyond(k.edge, k.our, k.judge); len(extra) > 0 {
			t.Errorf("%s at %v, which the judges see at %v only", k.name, extra, k.judge)
		}
	}
	seen := verdict{len(atLeast(judged, judges.black)) > 0, len(atLeast(judged, judges.frozen)) > 0, len(atLeast(judged, judges.silent)) > 0}
	if diff := cmp.Diff(p.seen, seen); diff != "" {
		t.Errorf("the judges see something else in this programme:\n%s", diff)
	}
	compareLoudness(t, judges.loudness, ours.loudness)
	return found, wanted
}

// compareLoudness compares whole windows of sound that can be heard.
func compareLoudness(t *testing.T, judges, ours []loudness) {
	t.Helper()
	const (
		most    = 0.5 // LU
		audible = -60 // LUFS
	)
	byTime := map[time.Duration]loudness{}
	for _, l := range judges {
		byTime[l.at.Round(sound.BlockLength)] = l
	}
	worst, compared := 0.0, 0
	for _, our := range ours {
		judge, ok := byTime[our.at]
		if !ok || our.at < 3*time.Second {
			continue
		}
		compared++
		for _, pair := range [][2]float64{{judge.momentary, our.momentary}, {judge.shortTerm, our.shortTerm}} {
			if max(pair[0], pair[1]) > audible {
				worst = max(worst, math.Abs(pair[0]-pair[1]))
			}
		}
	}
	t.Logf("%d loudnesses compared, largest difference %.2f LU", compared, worst)
	if worst > most || compared < 200 {
		t.Errorf("%d loudnesses compared, largest difference %.2f LU, want at most %v", compared, worst, most)
	}
}

// measure runs our meters on a file.
func measure(t *testing.T, file string) findings {
	t.Helper()
	units := testunits.Load(t, file)
	f := measurePictures(t, file, testunits.Of(stream.Video, units))
	s := measureSound(t, testunits.Of(stream.Audio, units))
	f.silent, f.loudness = s.silent, s.loudness
	return f
}

// measurePictures decodes the key frames alone, at small size.
func measurePictures(t *testing.T, file string, units []*stream.AccessUnit) (f findings) {
	t.Helper()
	const width, height = 320, 180
	raw, err := exec.Command(mediatest.RequireFFmpeg(t), "-v", "error", "-nostdin", "-threads", "1", "-skip_frame", "nokey", "-i", file, "-an",
		"-vf", fmt.Sprintf("scale=%d:%d", width, height), "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-").Output()
	if err != nil {
		t.Fatalf("decode key frames: %v", err)
	}
	m, err := picture.NewMeter(picture.Config{Width: width, Height: height})
	if err != nil {
		t.Fatal(err)
	}
	var limits picture.Thresholds
	wasBlack := false
	for _, u := range units {
		if !u.IDR {
			continue
		}
		if len(raw) < m.FrameBytes() {
			t.Fatal("ffmpeg decodes fewer key frames than there are")
		}
		p, err := m.Measure(u.PTS, raw[:m.FrameBytes()])
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[m.FrameBytes():]
		if len(p.Thumbnail) == 0 {
			t.Errorf("no thumbnail at %v", u.PTS)
		}
		t.Logf("%v: dark %.3f uniform %.3f deviation %.1f difference %.5f", u.PTS, p.Dark, p.Uniform, p.Deviation, p.Difference)
		if wasBlack {
			f.black[len(f.black)-1].to = u.PTS
		}
		black := limits.Black(&p)
		if black && !wasBlack {
			f.black = append(f.black, interval{u.PTS, length})
		}
		wasBlack = black
		if limits.Frozen(&p) {
			since := interval{p.At - p.Still, p.At}
			if n := len(f.frozen); n > 0 && f.frozen[n-1].from == since.from {
				f.frozen[n-1] = since
			} else {
				f.frozen = append(f.frozen, since)
			}
		}
	}
	if len(raw) > 0 {
		t.Fatal("ffmpeg decodes more key frames than there are")
	}
	if wasBlack {
		f.black[len(f.black)-1].to = length
	}
	return f
}

// measureSound decodes sound as the server does.
func measureSound(t *testing.T, units []*stream.AccessUnit) (f findings) {
	t.Helper()
	decoder, err := pcm.NewDecoder(units[0].Format)
	if err != nil {
		t.Fatal(err)
	}
	m, err := sound.NewMeter(sound.Config{Rate: decoder.Rate, Channels: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		samples, err := decoder.Decode(u.Frame)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range m.Write(u.PTS, [][]float32{samples.L, samples.R}) {
			end := b.At + sound.BlockLength
			f.loudness = append(f.loudness, loudness{end, b.Momentary, b.ShortTerm})
			switch n := len(f.silent); {
			case !b.Silent(silence):
			case n > 0 && f.silent[n-1].to == b.At:
				f.silent[n-1].to = end
			default:
				f.silent = append(f.silent, interval{b.At, end})
			}
		}
	}
	f.silent = atLeast(judged-sound.BlockLength, f.silent)
	return f
}
