package pcm

import (
	"fmt"
	"math"
	"testing"
)

// sine returns n samples of a sine of the given frequency, in Hz, at the given rate.
func sine(hz float64, rate, n int) Stereo {
	s := Stereo{}.Sized(n)
	for i := range n {
		s.L[i] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
		s.R[i] = -s.L[i]
	}
	return s
}

// snr is the ratio of want's power to that of the difference, in dB.
func snr(got, want []float32) float64 {
	signal, noise := 0.0, 1e-30
	for i := range got {
		d := float64(got[i]) - float64(want[i])
		signal += float64(want[i]) * float64(want[i])
		noise += d * d
	}
	return 10 * math.Log10(signal/noise)
}

func TestResamplerKeepsTheSignalAndItsPlaceInTime(t *testing.T) {
	for _, rate := range []int{8000, 16000, 22050, 24000, 32000, 44100, 64000, 88200, 96000} {
		for _, hz := range []float64{100, 997, 0.2 * float64(min(rate, Rate)), 0.37 * float64(min(rate, Rate))} {
			t.Run(fmt.Sprintf("%d Hz at %d", int(hz), rate), func(t *testing.T) {
				r := NewResampler(rate)
				in := sine(hz, rate, rate/2)
				var got Stereo
				for in.Len() > 0 { // in frames of AAC
					n := min(1024, in.Len())
					out := r.Resample(in.To(n))
					got.L, got.R = append(got.L, out.L...), append(got.R, out.R...)
					in = in.From(n)
				}
				if missing := Rate/2 - got.Len(); missing < 0 || missing > (taps+4)*Rate/2/min(rate, Rate) {
					t.Errorf("%d samples out of half a second", got.Len())
				}
				// Ideal samples, at the same times. The start sees no past, as it should.
				want := sine(hz, Rate, got.Len())
				settled := 4 * taps * Rate / min(rate, Rate)
				for i, pair := range [][2][]float32{{got.L, want.L}, {got.R, want.R}} {
					if s := snr(pair[0][settled:], pair[1][settled:]); s < 80 {
						t.Errorf("channel %d: SNR %.1f dB, want at least 80", i, s)
					}
				}
			})
		}
	}
}

func TestResamplerLeavesNoImages(t *testing.T) {
	// Near the top of the band an image lies closest: of 19 kHz at 25.1 kHz, folded to 22.9.
	r := NewResampler(44100)
	out := r.Resample(sine(17000, 44100, 44100))
	if s := snr(out.L[1000:], sine(17000, Rate, out.Len()).L[1000:]); s < 60 {
		t.Errorf("SNR of 17 kHz is %.1f dB, want at least 60", s)
	}
	// Above the output's band nothing may come through.
	r = NewResampler(96000)
	out = r.Resample(sine(28000, 96000, 48000))
	peak := 0.0
	for _, v := range out.L[500:] {
		peak = math.Max(peak, math.Abs(float64(v)))
	}
	if db := 20 * math.Log10(peak/0.5); db > -80 {
		t.Errorf("28 kHz comes through at %.1f dB", db)
	}
}

func TestResamplerBeginsAnewAfterReset(t *testing.T) {
	r, fresh := NewResampler(44100), NewResampler(44100)
	r.Resample(sine(500, 44100, 3000))
	r.Reset()
	a := r.Resample(sine(1000, 44100, 2000))
	b := fresh.Resample(sine(1000, 44100, 2000))
	if a.Len() != b.Len() {
		t.Fatalf("%d samples after Reset, %d when new", a.Len(), b.Len())
	}
	for i := range a.L {
		if a.L[i] != b.L[i] {
			t.Fatalf("sample %d is %g after Reset, %g when new", i, a.L[i], b.L[i])
		}
	}
}

func BenchmarkResampler44100(b *testing.B) {
	r := NewResampler(44100)
	in := sine(1000, 44100, 1024)
	for b.Loop() {
		r.Resample(in)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)*44100/1024, "µs/s")
}
