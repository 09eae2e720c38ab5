package step

import (
	"math"
	"time"

	"gonum.org/v1/gonum/dsp/fourier"

	"github.com/streampair/streampair/mediaserver/measure/sound"
)

const (
	rangeBins = int(Range / sound.BinLength)
	// transformBins holds a history and the range beside it, so that nothing wraps around. It is
	// a product of 2 and 3, which makes the transform fast.
	transformBins = 18432
	// leastBins is the least sound to compare.
	leastBins = int(15 * time.Second / sound.BinLength)
	// guardBins is how near to the best shift another one counts as the same.
	guardBins = int(150 * time.Millisecond / sound.BinLength)
	// flatPower is the mean square in steps below which sound tells nothing: changes of 1 dB.
	flatPower = sound.Bands * 9.0
	// leastFit is the least correlation of sound that is the same. Of 400 pairs of
	// unlike commentaries of 15 s the likest had 0.31.
	leastFit = 0.4
	// mostSecond is the most that the next best shift may have of the best one's correlation.
	mostSecond = 0.7
)

// A correlator compares two histories. It is the memory of one comparison.
type correlator struct {
	fft     *fourier.FFT
	series  series
	flat    [legs][]float64 // one band of each leg, and zeros
	spectra [legs][]complex128
	cross   []complex128
	fits    []float64 // by shift, modulo transformBins
	// power and knowns are the sum of squares and the number of known values before each bin.
	power  [legs][]float64
	knowns [legs][]int
}

func newCorrelator() *correlator {
	c := &correlator{
		fft:   fourier.NewFFT(transformBins),
		cross: make([]complex128, transformBins/2+1),
		fits:  make([]float64, transformBins),
	}
	for leg := range legs {
		c.flat[leg] = make([]float64, transformBins)
		c.spectra[leg] = make([]complex128, transformBins/2+1)
		c.power[leg] = make([]float64, historyBins+1)
		c.knowns[leg] = make([]int, historyBins+1)
	}
	return c
}

// compare returns the shift of the backup's sound against the primary's when both are laid with
// their ends together, and how much better the shift fits than the next best one.
func (c *correlator) compare(primary, backup *history) (shift time.Duration, fit float64, doubt Doubt) {
	c.transform(primary, backup)
	if min(c.knowns[Primary][historyBins], c.knowns[Backup][historyBins]) < leastBins {
		return 0, 0, TooLittle
	}
	for leg := range legs {
		if c.power[leg][historyBins] < flatPower*float64(c.knowns[leg][historyBins]) {
			return 0, 0, Flat
		}
	}
	c.normalise()
	best, second := c.peaks()
	top := c.fit(best)
	switch {
	case top < leastFit:
		return 0, 0, Different
	case second > mostSecond*top:
		return 0, 0, Ambiguous
	}
	bins := float64(best) + vertex(c.fit(best-1), top, c.fit(best+1))
	return time.Duration(bins * float64(sound.BinLength)), min(top, 1) - max(second, 0), NoDoubt
}

// transform sets fits to the correlation by shift, all bands summed, and sets power and knowns.
func (c *correlator) transform(histories ...*history) {
	clear(c.cross)
	for leg := range legs {
		clear(c.power[leg])
	}
	for band := range sound.Bands {
		for leg, h := range histories {
			c.series.read(h, band)
			flat := c.flat[leg]
			c.series.flatten(flat[:historyBins])
			for i, v := range flat[:historyBins] {
				c.power[leg][i+1] += v * v
				c.knowns[leg][i+1] = c.knowns[leg][i]
				if c.series.known[i] {
					c.knowns[leg][i+1]++
				}
			}
			c.fft.Coefficients(c.spectra[leg], flat)
		}
		for i, a := range c.spectra[Primary] {
			b := c.spectra[Backup][i]
			c.cross[i] += complex(real(a), -imag(a)) * b
		}
	}
	c.fft.Sequence(c.fits, c.cross)
	for leg := range legs {
		for i := range historyBins {
			c.power[leg][i+1] += c.power[leg][i]
		}
	}
}

// normalise divides each correlation by what equal sound would have, over the sound that both legs have
// at that shift. Shifts with too little of it get 0.
func (c *correlator) normalise() {
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		// Bin i of the primary meets bin i+shift of the backup.
		from, to := max(0, -shift), min(historyBins, historyBins-shift)
		a := span{c.power[Primary][to] - c.power[Primary][from], c.knowns[Primary][to] - c.knowns[Primary][from]}
		b := span{c.power[Backup][to+shift] - c.power[Backup][from+shift], c.knowns[Backup][to+shift] - c.knowns[Backup][from+shift]}
		fit := &c.fits[c.index(shift)]
		if min(a.known, b.known) < leastBins {
			*fit = 0
			continue
		}
		*fit /= transformBins * math.Sqrt(a.atLeastFlat()*b.atLeastFlat())
	}
}

// A span is the sum of squares and the number of known values of a part of a history.
type span struct {
	power float64
	known int
}

// atLeastFlat keeps the little that is in silence from looking like sound.
func (s span) atLeastFlat() float64 { return max(s.power, flatPower*float64(s.known)) }

func (c *correlator) index(shift int) int { return (shift + transformBins) % transformBins }

// fit returns the correlation at a shift, which may be one beyond the range.
func (c *correlator) fit(shift int) float64 {
	return c.fits[c.index(min(max(shift, -rangeBins), rangeBins))]
}

// peaks returns the best shift, and the correlation of the next best one that is another one.
func (c *correlator) peaks() (best int, second float64) {
	best = -rangeBins
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		if c.fit(shift) > c.fit(best) {
			best = shift
		}
	}
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		if shift < best-guardBins || shift > best+guardBins {
			second = max(second, c.fit(shift))
		}
	}
	return best, second
}

// vertex returns where the parabola through three values has its top, from -0.5 to 0.5.
func vertex(before, top, after float64) float64 {
	bend := before - 2*top + after
	if bend >= 0 {
		return 0
	}
	return min(max((before-after)/2/bend, -0.5), 0.5)
}
