package pcm

import (
	"math"
	"testing"
)

func largestStep(x []float32) float64 {
	step := 0.0
	for i := 1; i < len(x); i++ {
		step = math.Max(step, math.Abs(float64(x[i])-float64(x[i-1])))
	}
	return step
}

func TestSeamLeavesNoClick(t *testing.T) {
	const hz = 440
	ownStep := largestStep(sine(hz, Rate, Rate).L)
	silence := Stereo{}.Sized(2000)
	clear(silence.L)
	clear(silence.R)
	for name, tc := range map[string]struct{ before, after Stereo }{
		"sound ends at its peak":       {sine(hz, Rate, 4800+27), silence},
		"sound begins at its peak":     {silence, sine(hz, Rate, 4800).From(27)},
		"another sound, opposite sign": {sine(hz, Rate, 4800+27), sine(hz, Rate, 4800).From(81)},
		"after less than a fade":       {sine(hz, Rate, 100), sine(hz, Rate, 4800).From(81)},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSeam()
			var all []float32
			join := func(x Stereo) {
				x = Stretch(Stereo{}, x, 0) // a copy
				for x.Len() > 0 {
					n := min(101, x.Len())
					s.Join(x.To(n))
					all = append(all, x.L[:n]...)
					x = x.From(n)
				}
			}
			s.Cut()
			join(tc.before)
			s.Cut()
			join(tc.after)
			if got := largestStep(all); got > 2.2*ownStep {
				t.Errorf("largest step %.4f, that of the sound itself %.4f", got, ownStep)
			}
		})
	}
}

func TestSeamIsIdleOnlyInSilence(t *testing.T) {
	s := NewSeam()
	if !s.Idle() {
		t.Error("a new Seam is not idle")
	}
	s.Join(sine(440, Rate, 1000))
	if s.Idle() {
		t.Error("idle after sound")
	}
	s.Cut()
	silence := Stereo{make([]float32, 2*FadeSamples), make([]float32, 2*FadeSamples)}
	s.Join(silence)
	if !s.Idle() {
		t.Error("not idle after a faded end and silence")
	}
}

func TestStretchChangesLengthOnly(t *testing.T) {
	for _, n := range []int{-4, -1, 0, 1, 4} {
		in := sine(3000, Rate, 1024)
		out := Stretch(Stereo{}, in, n)
		if out.Len() != 1024+n {
			t.Fatalf("%d samples, want %d", out.Len(), 1024+n)
		}
		want := Stereo{}.Sized(out.Len())
		for i := range want.L {
			at := float64(i) * 1023 / float64(1023+n)
			want.L[i] = float32(0.5 * math.Sin(2*math.Pi*3000*at/Rate))
		}
		if s := snr(out.L, want.L); s < 50 {
			t.Errorf("by %d: SNR %.1f dB, want at least 50", n, s)
		}
	}
	if got := Stretch(Stereo{}, sine(440, Rate, 2), 1).Len(); got != 2 {
		t.Errorf("two samples became %d: too few to interpolate", got)
	}
}
