package pcm

import (
	"math"

	"github.com/tphakala/simd/f32"
)

// Filter design: Kaiser window, 90 dB stop band. The transition band ends where images would fold to
// 1.5 kHz above the lower Nyquist frequency or more. AAC encoders leave nothing there, and ears
// would not notice.
const (
	taps   = 64
	beta   = 9.0
	cutoff = 0.465 // of the lower sample rate, -6 dB
)

// A Resampler brings one source to Rate, continuously over calls. Output sample k is
// the value at time k/Rate after the source's first sample: there is no delay to
// account for, but the last taps/2 input samples wait for their successors.
type Resampler struct {
	up, down int // Rate/from in lowest terms
	phases   [][]float32
	phase    int
	history  Stereo // samples not yet passed by the filter
	out      Stereo
}

// NewResampler returns a Resampler from the given rate in Hz.
func NewResampler(from int) *Resampler {
	g := gcd(Rate, from)
	r := &Resampler{up: Rate / g, down: from / g}
	// Below 48 kHz the filter spans 64 samples of the source. Above, its pass band is
	// that of the output, so it spans more of them.
	n := taps
	lower := 1.0 // the lower of the two rates, as a part of the source's
	if r.down > r.up {
		lower = float64(r.up) / float64(r.down)
		n = int(math.Ceil(taps/lower/2)) * 2
	}
	fc := cutoff * lower
	r.phases = make([][]float32, r.up)
	for p := range r.phases {
		coefficients := make([]float64, n)
		sum := 0.0
		for k := range coefficients {
			x := float64(k-n/2+1) - float64(p)/float64(r.up)
			coefficients[k] = 2 * fc * sinc(2*fc*x) * kaiser(x/(float64(n)/2))
			sum += coefficients[k]
		}
		r.phases[p] = make([]float32, n)
		for k, c := range coefficients {
			r.phases[p][k] = float32(c / sum) // each phase passes DC alike
		}
	}
	r.Reset()
	return r
}

// Reset makes the next sample the first.
func (r *Resampler) Reset() {
	n := len(r.phases[0])/2 - 1
	r.history = r.history.Sized(n)
	clear(r.history.L)
	clear(r.history.R)
	r.phase = 0
}

// Resample takes the source's next samples and returns those that follow from them,
// valid until the next call.
func (r *Resampler) Resample(in Stereo) Stereo {
	r.history.L = append(r.history.L, in.L...)
	r.history.R = append(r.history.R, in.R...)
	n := len(r.phases[0])
	r.out.L, r.out.R = r.out.L[:0], r.out.R[:0]
	pos := 0
	for ; pos+n <= r.history.Len(); pos += r.advance() {
		filter := r.phases[r.phase]
		r.out.L = append(r.out.L, f32.DotProduct(filter, r.history.L[pos:pos+n]))
		r.out.R = append(r.out.R, f32.DotProduct(filter, r.history.R[pos:pos+n]))
	}
	r.history.L = append(r.history.L[:0], r.history.L[pos:]...)
	r.history.R = append(r.history.R[:0], r.history.R[pos:]...)
	return r.out
}

// advance steps to the next output sample and returns by how many input samples.
func (r *Resampler) advance() int {
	r.phase += r.down
	n := r.phase / r.up
	r.phase %= r.up
	return n
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the Kaiser window over [-1, 1].
func kaiser(x float64) float64 {
	if x < -1 || x > 1 {
		return 0
	}
	return bessel0(beta*math.Sqrt(1-x*x)) / bessel0(beta)
}

// bessel0 is the modified Bessel function of the first kind of order 0.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
