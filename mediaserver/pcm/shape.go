package pcm

import "math"

// FadeSamples is 5 ms: short enough not to be heard as a fade, long enough that an
// edge is not heard as a click.
const FadeSamples = Rate / 200

// A Seam joins what is played to what follows without a click. What was played goes on
// for 5 ms, mirrored in time and fading out, under what follows, which fades in. So it
// needs no look-ahead: nothing has to be held back in case it is the last.
type Seam struct {
	recent Stereo // the last FadeSamples played, oldest first
	tail   Stereo // what remains to be mixed in
	left   int    // of the seam
}

// NewSeam returns a Seam after silence.
func NewSeam() *Seam {
	return &Seam{
		recent: Stereo{make([]float32, FadeSamples), make([]float32, FadeSamples)},
		tail:   Stereo{make([]float32, FadeSamples), make([]float32, FadeSamples)},
	}
}

// Cut says that what is joined next does not continue what was joined last.
func (s *Seam) Cut() {
	for i := range FadeSamples {
		// Seen from here the past runs backwards. Raised cosines add up to one.
		gain := fadeOut(i)
		s.tail.L[i] = s.recent.L[FadeSamples-1-i] * gain
		s.tail.R[i] = s.recent.R[FadeSamples-1-i] * gain
	}
	s.left = FadeSamples
}

// Join changes in place the samples to be played next.
func (s *Seam) Join(next Stereo) {
	n := min(s.left, next.Len())
	for i := range n {
		k := FadeSamples - s.left + i
		gain := 1 - fadeOut(k)
		next.L[i] = next.L[i]*gain + s.tail.L[k]
		next.R[i] = next.R[i]*gain + s.tail.R[k]
	}
	s.left -= n
	remember(s.recent.L, next.L)
	remember(s.recent.R, next.R)
}

// Idle says whether the next samples would leave Join as they are, and what was joined
// last is silence.
func (s *Seam) Idle() bool {
	if s.left > 0 {
		return false
	}
	for i := range s.recent.L {
		if s.recent.L[i] != 0 || s.recent.R[i] != 0 {
			return false
		}
	}
	return true
}

func fadeOut(i int) float32 {
	return float32(0.5 + 0.5*math.Cos(math.Pi*(float64(i)+0.5)/FadeSamples))
}

// remember appends next to recent and keeps the newest len(recent).
func remember(recent, next []float32) {
	if len(next) >= len(recent) {
		copy(recent, next[len(next)-len(recent):])
		return
	}
	copy(recent, recent[len(next):])
	copy(recent[len(recent)-len(next):], next)
}

// Stretch writes into dst the samples of s made n samples longer (shorter if n is
// negative) by cubic interpolation. Changing a frame of 1024 by one sample changes its
// pitch by less than 2 cents. Its first and last samples stay. The result uses dst's
// memory.
func Stretch(dst, s Stereo, n int) Stereo {
	from, to := s.Len(), s.Len()+n
	if n == 0 || from < 4 || to < 4 {
		dst = dst.Sized(from)
		copy(dst.L, s.L)
		copy(dst.R, s.R)
		return dst
	}
	dst = dst.Sized(to)
	step := float64(from-1) / float64(to-1)
	for i := range to {
		t := float64(i) * step
		k := min(int(t), from-2)
		dst.L[i] = cubic(s.L, k, float32(t-float64(k)))
		dst.R[i] = cubic(s.R, k, float32(t-float64(k)))
	}
	return dst
}

// cubic is the Catmull-Rom spline through x between its samples k and k+1.
func cubic(x []float32, k int, t float32) float32 {
	a, b, c, d := x[max(k-1, 0)], x[k], x[k+1], x[min(k+2, len(x)-1)]
	return b + 0.5*t*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
}
