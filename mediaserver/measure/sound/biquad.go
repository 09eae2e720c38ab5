package sound

import "math"

// A biquad is a second-order filter in transposed direct form II. Its coefficients are
// normalised: a0 is 1.
type biquad struct {
	b0, b1, b2, a1, a2 float64
	s1, s2             float64
}

// tiny is below all that can be heard. A filter's state of denormal numbers would be slow.
const tiny = 1e-20

// settle ends what remains of a sound long gone.
func (f *biquad) settle() {
	if math.Abs(f.s1) < tiny && math.Abs(f.s2) < tiny {
		f.s1, f.s2 = 0, 0
	}
}

// ITU-R BS.1770-5 gives the two filters of the K-weighting by their coefficients at 48 kHz. These
// are the analogue filters that have the same coefficients there, so that they can be computed for any
// rate.
const (
	shelfHz, shelfQ, shelfDB = 1681.974450955533, 0.7071752369554196, 3.999843853973347
	highPassHz, highPassQ    = 38.13547087602444, 0.5003270373238773
)

// shelf returns the first filter of the K-weighting, which models the head.
func shelf(rate float64) biquad {
	k := math.Tan(math.Pi * shelfHz / rate)
	high := math.Pow(10, shelfDB/20)
	band := math.Pow(high, 0.4996667741545416)
	a0 := 1 + k/shelfQ + k*k
	return biquad{
		b0: (high + band*k/shelfQ + k*k) / a0,
		b1: 2 * (k*k - high) / a0,
		b2: (high - band*k/shelfQ + k*k) / a0,
		a1: 2 * (k*k - 1) / a0,
		a2: (1 - k/shelfQ + k*k) / a0,
	}
}

// highPass returns the second filter of the K-weighting. Its numerator is 1, -2, 1 at every rate.
func highPass(rate float64) biquad {
	k := math.Tan(math.Pi * highPassHz / rate)
	a0 := 1 + k/highPassQ + k*k
	return biquad{b0: 1, b1: -2, b2: 1, a1: 2 * (k*k - 1) / a0, a2: (1 - k/highPassQ + k*k) / a0}
}

// bandPass returns a filter from low to high Hz with a gain of 1 in the middle.
func bandPass(rate, low, high float64) biquad {
	centre := math.Sqrt(low * high)
	k := math.Tan(math.Pi * centre / rate)
	q := centre / (high - low)
	a0 := 1 + k/q + k*k
	return biquad{b0: k / q / a0, b2: -k / q / a0, a1: 2 * (k*k - 1) / a0, a2: (1 - k/q + k*k) / a0}
}
