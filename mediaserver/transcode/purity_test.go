package transcode

import (
	"math"
	"testing"

	"github.com/streampair/streampair/mediaserver/pcm"
)

// leastPurity is the least purity of a tone of 1 kHz in 20 ms, in dB. It is half way
// between what a source does by intention and a click.
//
// At most, a source goes from its own length to four samples more or less in a frame of 1114.
// The pitch then changes by d = 3.6 Hz. In the middle of a window of T = 20 ms, the phase
// differs from that of the nearest steady tone by π·d·T/√48 = 0.032 rad, which is 29.8 dB. No
// jitter of 10 ms makes a source do that in the time that is judged. It goes from one sample
// to four at most, which is 32.2 dB; the worst of 500 seeds has that.
//
// Two samples left out are a step of the phase by 0.26 rad. The nearest steady tone
// leaves a quarter of that: 0.065 rad, or 23.7 dB.
const leastPurity = (29.8 + 23.7) / 2

// purity returns the ratio of a tone near 1 kHz to all else, in dB, in the worst 20 ms. The tone
// may be 5 Hz off, because a source's stretching changes the pitch by 3.6 Hz.
func purity(x []float32) float64 {
	const n = frameSamples
	var tones []fit
	for hz := 995.0; hz <= 1005; hz += 0.25 {
		tones = append(tones, newFit(hz, n))
	}
	worst := math.Inf(1)
	for at := 0; at+n <= len(x); at += n / 2 {
		best := math.Inf(-1)
		for _, tone := range tones {
			best = max(best, tone.ratio(x[at:at+n]))
		}
		worst = min(worst, best)
	}
	return worst
}

// A fit finds the tone of a frequency that leaves the least of a signal. The sine and
// the cosine are not orthogonal in a window without a whole number of periods. To
// treat them as orthogonal makes errors of 25 dB.
type fit struct {
	sin, cos   []float64
	ss, sc, cc float64 // the sums of the products of sine and cosine
}

func newFit(hz float64, samples int) fit {
	f := fit{sin: make([]float64, samples), cos: make([]float64, samples)}
	for i := range samples {
		f.sin[i], f.cos[i] = math.Sincos(2 * math.Pi * hz * float64(i) / pcm.Rate)
		f.ss += f.sin[i] * f.sin[i]
		f.sc += f.sin[i] * f.cos[i]
		f.cc += f.cos[i] * f.cos[i]
	}
	return f
}

// ratio returns the ratio of the tone to all else, in dB.
func (f fit) ratio(x []float32) float64 {
	var s, c, all float64
	for i, v := range x {
		s += float64(v) * f.sin[i]
		c += float64(v) * f.cos[i]
		all += float64(v) * float64(v)
	}
	in := (f.cc*s*s - 2*f.sc*s*c + f.ss*c*c) / (f.ss*f.cc - f.sc*f.sc)
	return 10 * math.Log10(in/max(all-in, 1e-12))
}

// Purity finds a click, and accepts the changes of pitch that a source makes.
func TestPurityTellsAClickFromAChangeOfPitch(t *testing.T) {
	// signal is a tone of 1 kHz whose phase advances by step(i) samples at sample i.
	signal := func(step func(i int) float64) []float32 {
		x, phase := make([]float32, 4800), 0.0
		for i := range x {
			x[i] = float32(0.5 * math.Sin(2*math.Pi*1000*phase/pcm.Rate))
			phase += step(i)
		}
		return x
	}
	slip := func(samples float64) func(i int) float64 {
		return func(i int) float64 {
			if i == 2400 {
				return 1 + samples
			}
			return 1
		}
	}
	for name, test := range map[string]struct {
		step  func(i int) float64
		least float64
		most  float64
	}{
		"a steady tone":                {func(int) float64 { return 1 }, 60, math.Inf(1)},
		"a tone that is 3.6 Hz higher": {func(int) float64 { return 1.0036 }, 40, math.Inf(1)},
		"four samples in a frame, from one sample on": {func(i int) float64 {
			if i < 2400 {
				return 1
			}
			return 1113.0 / 1117
		}, 29.5, 30},
		"a sample left out":     {slip(1), leastPurity, 31},
		"two samples left out":  {slip(2), 23, leastPurity},
		"two samples repeated":  {slip(-2), 23, leastPurity},
		"four samples left out": {slip(4), 17, 18.5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := purity(signal(test.step)); got < test.least || got > test.most {
				t.Errorf("%.1f dB, want %.1f to %.1f", got, test.least, test.most)
			}
		})
	}
}
