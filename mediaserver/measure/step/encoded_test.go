package step

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// codes are short chirps, one each 10 s. Where they are in decoded sound is the truth that an estimate is
// compared with.
type codes struct{}

const (
	codeEvery  = 10.0 // seconds
	codeLength = 0.02 // seconds
)

func (codes) at(t float64) float64 {
	past := t - codeEvery*math.Floor(t/codeEvery)
	if past > codeLength {
		return 0
	}
	return 0.4 * math.Sin(2*math.Pi*(500*past+0.5*(3500-500)/codeLength*past*past))
}

// An encoder is what encodes one leg.
type encoder struct {
	late, level float64
	kbits       int
	rate        int // Hz
	channels    int
}

// The sound that a leg's encoder gets.
const (
	sourceRate  = 48000
	legFrom     = 50.0 // seconds of the leg's clock
	legSeconds  = 45
	codeTimeout = 0.2 // seconds by which a code may be away from its place
)

// A decodedLeg is a leg's sound as the server decodes it.
type decodedLeg struct {
	blocks  []sound.Block
	rate    int
	samples []float32 // the left channel
	start   float64   // time of the first sample, in seconds of the leg's clock
}

// run encodes a source by ffmpeg, and decodes it as the server does.
func (e encoder) run(t *testing.T, of source) decodedLeg {
	t.Helper()
	var raw bytes.Buffer
	gain := math.Pow(10, e.level/20)
	for n := range legSeconds * sourceRate {
		v := math.Float32bits(float32(gain * of.at(legFrom+float64(n)/sourceRate-e.late)))
		raw.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, v), v))
	}
	file := filepath.Join(t.TempDir(), "leg.flv")
	cmd := exec.Command(mediatest.RequireFFmpeg(t), "-v", "error", "-f", "f32le", "-ar", fmt.Sprint(sourceRate), "-ac", "2", "-i", "pipe:0",
		"-c:a", "aac", "-b:a", fmt.Sprintf("%dk", e.kbits), "-ar", fmt.Sprint(e.rate), "-ac", fmt.Sprint(e.channels), "-flvflags", "no_duration_filesize", file)
	cmd.Stdin = &raw
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	units := testunits.Of(stream.Audio, testunits.Load(t, file))
	decoder, err := pcm.NewDecoder(units[0].Format)
	if err != nil {
		t.Fatal(err)
	}
	meter, err := sound.NewMeter(sound.Config{Rate: decoder.Rate, Channels: 2})
	if err != nil {
		t.Fatal(err)
	}
	from := time.Duration(legFrom * float64(time.Second))
	leg := decodedLeg{rate: decoder.Rate, start: (from + units[0].PTS).Seconds()}
	for _, u := range units {
		samples, err := decoder.Decode(u.Frame)
		if err != nil {
			t.Fatal(err)
		}
		leg.samples = append(leg.samples, samples.L...)
		leg.blocks = append(leg.blocks, meter.Write(from+u.PTS, [][]float32{samples.L, samples.R})...)
	}
	return leg
}

// code returns when the code that the source has at a time is in the leg.
func (l decodedLeg) code(at, late float64) float64 {
	template := make([]float64, int(codeLength*float64(l.rate)))
	for i := range template {
		template[i] = codes{}.at(float64(i) / float64(l.rate))
	}
	place := int((at + late - l.start) * float64(l.rate))
	reach := int(codeTimeout * float64(l.rate))
	best, where := 0.0, 0
	for from := max(place-reach, 0); from < min(place+reach, len(l.samples)-len(template)); from++ {
		sum := 0.0
		for i, v := range template {
			sum += v * float64(l.samples[from+i])
		}
		if sum > best {
			best, where = sum, from
		}
	}
	return l.start + float64(where)/float64(l.rate)
}

// Both legs go through ffmpeg's AAC encoder and the server's decoder.
func TestOffsetOfEncodedSoundIsThatOfTheCodesInIt(t *testing.T) {
	mediatest.SkipInShort(t)
	source := mix{newCommentary(seeded.Rand(t), 100*time.Second), codes{}}
	primary := encoder{kbits: 128, rate: 48000, channels: 2}.run(t, source)
	tests := []struct {
		name   string
		backup encoder
	}{
		{"0.4 s later, the same encoder", encoder{late: 0.4, kbits: 128, rate: 48000, channels: 2}},
		{"3 s later, 64 kbit/s mono", encoder{late: 3, kbits: 64, rate: 48000, channels: 1}},
		{"20 s later, 64 kbit/s stereo of 44.1 kHz, 12 dB quieter", encoder{late: 20, kbits: 64, rate: 44100, channels: 2, level: -12}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backup := tt.backup.run(t, source)
			e := NewEstimator()
			feed(e, primary.blocks, backup.blocks)
			got := e.Estimate()
			// The source has codes at 60 s and 70 s that are in both legs.
			truth := 0.0
			for _, at := range []float64{60, 70} {
				truth += (backup.code(at, tt.backup.late) - primary.code(at, 0)) / 2
			}
			t.Logf("%+v, codes %.4f", got, truth)
			if got.Doubt != NoDoubt || math.Abs(got.Offset.Seconds()-truth) > 0.005 || math.Abs(got.Offset.Seconds()-tt.backup.late) > 0.02 {
				t.Errorf("%+v, want the codes' %.4f s within 5 ms, and %v s within 20 ms", got, truth, tt.backup.late)
			}
		})
	}
}
