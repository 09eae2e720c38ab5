package sound

// A channel is what is measured of one channel in the current block.
type channel struct {
	shelf, highPass biquad
	peak            float32
	squares         float64 // sum of the samples' squares
	weighted        float64 // sum of the squares after K-weighting
}

func newChannel(rate int) channel {
	return channel{shelf: shelf(float64(rate)), highPass: highPass(float64(rate))}
}

// start begins a block.
func (c *channel) start() {
	c.peak, c.squares, c.weighted = 0, 0, 0
	c.shelf.settle()
	c.highPass.settle()
}

// loudest bounds samples. Decoders may go somewhat beyond full scale, and a filter never forgets
// an infinite sample.
const loudest = 8

// add takes samples, adds them to mono, and returns how many of them are clipped.
func (c *channel) add(samples []float32, mono []float64) (clipped int) {
	f, g := c.shelf, c.highPass
	peak, squares, weighted := c.peak, 0.0, 0.0
	mono = mono[:len(samples)]
	for i, s := range samples {
		a := s
		if a < 0 {
			a = -a
		}
		if !(a <= loudest) { // NaN too
			s, a = 0, 0
		}
		if a > peak {
			peak = a
		}
		if a >= fullScale {
			clipped++
		}
		x := float64(s)
		mono[i] += x
		squares += x * x

		y := f.b0*x + f.s1
		f.s1 = f.b1*x - f.a1*y + f.s2
		f.s2 = f.b2*x - f.a2*y
		z := y + g.s1
		g.s1 = -2*y - g.a1*z + g.s2
		g.s2 = y - g.a2*z
		weighted += z * z
	}
	c.shelf, c.highPass = f, g
	c.peak = peak
	c.squares += squares
	c.weighted += weighted
	return clipped
}
