package sound

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// tone returns a sine of a level in dBFS, which is that of its peak.
func tone(rate int, length time.Duration, hz, level float64) []float32 {
	out := make([]float32, int(length.Seconds()*float64(rate)+0.5))
	amplitude := math.Pow(10, level/20)
	for i := range out {
		out[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return out
}

func newMeter(t testing.TB, rate, channels int) *Meter {
	t.Helper()
	m, err := NewMeter(Config{Rate: rate, Channels: channels})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// write writes samples in frames of 1024, as AAC brings them, with times in whole milliseconds, as
// RTMP does.
func write(m *Meter, at time.Duration, samples ...[]float32) (blocks []Block) {
	const frame = 1024
	for from := 0; from < len(samples[0]); from += frame {
		part := make([][]float32, len(samples))
		for i, s := range samples {
			part[i] = s[from:min(from+frame, len(s))]
		}
		now := at + time.Duration(float64(from)/float64(m.cfg.Rate)*float64(time.Second))
		blocks = append(blocks, m.Write(now.Round(time.Millisecond), part)...)
	}
	return blocks
}

func TestKWeightingIsThatOfBS1770At48kHz(t *testing.T) {
	// ITU-R BS.1770-5 tables 1 and 2.
	want := []biquad{
		{b0: 1.53512485958697, b1: -2.69169618940638, b2: 1.19839281085285, a1: -1.69065929318241, a2: 0.73248077421585},
		{b0: 1, b1: -2, b2: 1, a1: -1.99004745483398, a2: 0.99007225036621},
	}
	got := []biquad{shelf(48000), highPass(48000)}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(biquad{}), cmpopts.EquateApprox(0, 1e-7)); diff != "" {
		t.Error(diff)
	}
}

func TestLoudnessOfToneIsRightAtEveryRate(t *testing.T) {
	// EBU Tech 3341 table 1, tests 1, 2 and 6: a tone of 1 kHz in left and right of -23 dBFS is
	// -23 LUFS. So is test 6's 5.1.
	tests := []struct {
		name   string
		levels []float64
		want   float64
	}{
		{"stereo of -23 dBFS", []float64{-23, -23}, -23},
		{"stereo of -33 dBFS", []float64{-33, -33}, -33},
		{"mono of -20 dBFS", []float64{-20}, -23},
		{"5.1 with a loud LFE, which does not count", []float64{-28, -28, -24, 0, -30, -30}, -23},
	}
	for _, rate := range []int{8000, 11025, 22050, 44100, 48000, 96000} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s at %d Hz", tt.name, rate), func(t *testing.T) {
				var samples [][]float32
				for _, level := range tt.levels {
					samples = append(samples, tone(rate, 4*time.Second, 1000, level))
				}
				blocks := write(newMeter(t, rate, len(samples)), 0, samples...)
				last := blocks[len(blocks)-1]
				want := []float64{tt.want, tt.want}
				if diff := cmp.Diff(want, []float64{last.Momentary, last.ShortTerm}, cmpopts.EquateApprox(0, 0.1)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestWindowsOfLoudnessAre400msAnd3s(t *testing.T) {
	loud, quiet := tone(48000, 5*time.Second, 1000, -20), tone(48000, 4*time.Second, 1000, -60)
	m := newMeter(t, 48000, 2)
	sound := append(loud, quiet...)
	blocks := write(m, 0, sound, sound)
	type loudness struct{ Momentary, ShortTerm float64 }
	at := func(end time.Duration) loudness {
		b := blocks[end/BlockLength-1]
		return loudness{b.Momentary, b.ShortTerm}
	}
	half := 10 * math.Log10(0.5)
	want := []loudness{{-20, -20}, {-20 + half, -20 + 10*math.Log10(28.0/30)}, {-60, -20 + half}, {-60, -60}}
	got := []loudness{at(5 * time.Second), at(5200 * time.Millisecond), at(6500 * time.Millisecond), at(8100 * time.Millisecond)}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 0.15)); diff != "" {
		t.Error(diff)
	}
}

func TestLevels(t *testing.T) {
	const rate = 48000
	full := tone(rate, time.Second, 1000, 0)
	for i, s := range full { // a square
		full[i] = float32(math.Copysign(1, float64(s)))
	}
	strange := tone(rate, time.Second, 1000, -20)
	strange[24000], strange[30000] = float32(math.NaN()), float32(math.Inf(1))
	type levels struct {
		RMS, Peak float64
		Clipped   int
		Dead      uint8
		Silent    bool
	}
	const second = time.Second
	tests := []struct {
		name    string
		samples [][]float32
		want    levels
	}{
		{"digital silence", [][]float32{make([]float32, rate), make([]float32, rate)}, levels{RMS: Floor, Peak: Floor, Silent: true}},
		{"noise below -60 dBFS", [][]float32{tone(rate, second, 50, -61), tone(rate, second, 50, -62)}, levels{RMS: -64, Peak: -61, Silent: true}},
		{"hum at -55 dBFS", [][]float32{tone(rate, second, 50, -55)}, levels{RMS: -58, Peak: -55}},
		{"the right channel is dead", [][]float32{tone(rate, second, 1000, -20), tone(rate, second, 1000, -70)}, levels{RMS: -23, Peak: -20, Dead: 0b10}},
		{"both channels are quiet, and none is dead", [][]float32{tone(rate, second, 1000, -40), tone(rate, second, 1000, -50)}, levels{RMS: -43, Peak: -40}},
		{"a square at full scale", [][]float32{full}, levels{Clipped: rate / 10}},
		{"samples that are no numbers", [][]float32{strange}, levels{RMS: -23, Peak: -20}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			blocks := newMeter(t, rate, len(tt.samples)).Write(0, tt.samples)
			if len(blocks) != 10 {
				t.Fatalf("one second gave %d blocks", len(blocks))
			}
			for _, b := range blocks {
				got := levels{b.RMS, b.Peak, b.Clipped, b.Dead(-60), b.Silent(-60)}
				if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 0.1)); diff != "" {
					t.Fatalf("block at %v:\n%s", b.At, diff)
				}
			}
		})
	}
}

func TestBlocksLieOnMultiplesOf100ms(t *testing.T) {
	const ms = time.Millisecond
	times := func(blocks []Block) (out []time.Duration) {
		for _, b := range blocks {
			out = append(out, b.At)
		}
		return out
	}
	type run struct {
		at     time.Duration
		length time.Duration
	}
	tests := []struct {
		name string
		runs []run
		want []time.Duration
	}{
		{"from the start of a block", []run{{0, 350 * ms}}, []time.Duration{0, 100 * ms, 200 * ms}},
		{"the first block lacks samples", []run{{30 * ms, 350 * ms}}, []time.Duration{100 * ms, 200 * ms}},
		{"times before zero", []run{{-230 * ms, 350 * ms}}, []time.Duration{-200 * ms, -100 * ms, 0}},
		{"the two blocks of a gap's edges are left out", []run{{0, 250 * ms}, {560 * ms, 300 * ms}}, []time.Duration{0, 100 * ms, 600 * ms, 700 * ms}},
		{"times that are some ms off are no gap", []run{{0, 200 * ms}, {210 * ms, 150 * ms}}, []time.Duration{0, 100 * ms, 200 * ms}},
		{"a jump back", []run{{5000 * ms, 250 * ms}, {0, 250 * ms}}, []time.Duration{5000 * ms, 5100 * ms, 0, 100 * ms}},
	}
	for _, rate := range []int{8000, 11025, 44100, 48000} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, %d Hz", tt.name, rate), func(t *testing.T) {
				m := newMeter(t, rate, 1)
				var got []time.Duration
				for _, r := range tt.runs {
					got = append(got, times(write(m, r.at, tone(rate, r.length+ms, 440, -20)))...)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// A gap does not make sound quieter, and sound from before a jump back does not count.
func TestLoudnessLeavesGapsOut(t *testing.T) {
	m := newMeter(t, 48000, 1)
	sound := func(level float64) []float32 { return tone(48000, 500*time.Millisecond, 1000, level) }
	last := func(blocks []Block) float64 { return blocks[len(blocks)-1].ShortTerm }
	got := []float64{
		last(write(m, 0, sound(-20))),
		last(write(m, 2*time.Second, sound(-20))),
		last(write(m, 0, sound(-40))),
	}
	want := []float64{-23, -23, -43}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 0.1)); diff != "" {
		t.Error(diff)
	}
}

// The times of a sound card whose clock is wrong differ from those of the samples more and more.
func TestTimesOfBlocksFollowAClockThatDrifts(t *testing.T) {
	const rate, frame, ppm = 48000, 1024, 500
	m := newMeter(t, rate, 1)
	burst := 60*rate + rate/2 + rate/500 // of the samples: the only loud one
	loudest := Block{Peak: Floor}
	for n := 0; n < 90*rate; n += frame {
		samples := make([]float32, frame)
		if burst >= n && burst < n+frame {
			samples[burst-n] = 1
		}
		at := time.Duration(float64(n) / rate * (1 + ppm/1e6) * float64(time.Second))
		for _, b := range m.Write(at.Round(time.Millisecond), [][]float32{samples}) {
			if b.Peak > loudest.Peak {
				loudest = b
			}
		}
	}
	// 60.502 s of samples are 60.53225 s of the clock.
	top := loudest.Print[Bands-1]
	got := loudest.At + BinLength*time.Duration(slices.Index(top[:], slices.Max(top[:])))
	if want := 60530 * time.Millisecond; got != want {
		t.Errorf("the burst is in the bin at %v, want %v", got, want)
	}
}

func TestConfigOutOfRangeIsRefused(t *testing.T) {
	for _, cfg := range []Config{{Rate: 7999, Channels: 1}, {Rate: 96001, Channels: 1}, {Rate: 48000}, {Rate: 48000, Channels: 9}} {
		if _, err := NewMeter(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestSamplesOfOtherShapeAreIgnored(t *testing.T) {
	m := newMeter(t, 48000, 2)
	for _, samples := range [][][]float32{nil, {{1}}, {nil, nil}, {{1}, nil}} {
		if got := m.Write(0, samples); len(got) > 0 {
			t.Errorf("%v: %d blocks", samples, len(got))
		}
	}
}

// BenchmarkStereo measures the cost of one second of stereo at 48 kHz.
func BenchmarkStereo(b *testing.B) {
	m := newMeter(b, 48000, 2)
	left, right := tone(48000, time.Second, 440, -20), tone(48000, time.Second, 660, -20)
	b.ReportAllocs()
	at := time.Duration(0)
	for b.Loop() {
		m.Write(at, [][]float32{left, right})
		at += time.Second
	}
}
