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
	// flatPower is the mean square in steps below which sound tells nothing: changes of 1 dB.
	flatPower = sound.Bands * 9.0
	// leastFit is the least correlation of sound that is the same. Of 400 pairs of unlike
	// commentaries the likest had 0.17. Two pieces of music of one tempo may have 0.6, but
	// at many shifts.
	leastFit = 0.4
	// mostSecond is the most that the next best shift may have of the best one's correlation.
	mostSecond = 0.7
	// mostPeriodic is the same for the plain correlation, which is nearly equal at each turn of a
	// loop.
	mostPeriodic = 0.95
)

// A correlator compares two histories. It is the memory of one comparison.
type correlator struct {
	fft     *fourier.FFT
	series  series
	changes []float64 // one band of one leg, and zeros
	spectra [legs][]complex128
	cross   []complex128
	weights []float64 // what cross would be if both legs were alike
	plain   correlation
	even    correlation // with all frequencies alike
	power   [legs]float64
	knowns  [legs][]int // the number of known values before each bin
}

func newCorrelator() *correlator {
	c := &correlator{
		fft:     fourier.NewFFT(transformBins),
		changes: make([]float64, transformBins),
		cross:   make([]complex128, transformBins/2+1),
		weights: make([]float64, transformBins/2+1),
		plain:   make(correlation, transformBins),
		even:    make(correlation, transformBins),
	}
	for leg := range legs {
		c.spectra[leg] = make([]complex128, transformBins/2+1)
		c.knowns[leg] = make([]int, historyBins+1)
	}
	return c
}

// compare returns the shift of the backup's sound against the primary's when both are laid with
// their ends together, and how much better the shift fits than the next best one.
func (c *correlator) compare(primary, backup *history) (shift time.Duration, fit float64, doubt Doubt) {
	c.transform(primary, backup)
	for leg := range legs {
		switch known := c.knowns[leg][historyBins]; {
		case known < leastBins:
			return 0, 0, TooLittle
		case c.power[leg] < flatPower*float64(known):
			return 0, 0, Flat
		}
	}
	c.correlate(c.plain)
	c.flatten()
	c.correlate(c.even)
	best := c.even.best()
	top, second := c.even.at(best), c.even.besides(best)
	switch {
	case top < leastFit:
		return 0, 0, Different
	case second > mostSecond*top, c.plain.besides(best) > mostPeriodic*c.plain.near(best):
		return 0, 0, Ambiguous
	}
	bins := float64(best) + vertex(c.even.at(best-1), top, c.even.at(best+1))
	return time.Duration(bins * float64(sound.BinLength)), min(top, 1) - max(second, 0), NoDoubt
}

// transform sets cross to the product of both legs' spectra, and weights to the product of their
// magnitudes, all bands summed.
func (c *correlator) transform(histories ...*history) {
	clear(c.cross)
	clear(c.weights)
	c.power = [legs]float64{}
	for band := range sound.Bands {
		for leg, h := range histories {
			c.series.read(h, band)
			c.series.changes(c.changes[:historyBins])
			for i, v := range c.changes[:historyBins] {
				c.power[leg] += v * v
				c.knowns[leg][i+1] = c.knowns[leg][i]
				if c.series.known[i] {
					c.knowns[leg][i+1]++
				}
			}
			c.fft.Coefficients(c.spectra[leg], c.changes)
		}
		for i, a := range c.spectra[Primary] {
			b := c.spectra[Backup][i]
			c.cross[i] += complex(real(a), -imag(a)) * b
			c.weights[i] += math.Sqrt((real(a)*real(a) + imag(a)*imag(a)) * (real(b)*real(b) + imag(b)*imag(b)))
		}
	}
}

// flatten makes frequencies that are much stronger than the mean count no more than others. They are
// the beat of music, which fits at each beat, while everything else fits at one shift.
func (c *correlator) flatten() {
	mean := 0.0
	for _, w := range c.weights {
		mean += w / float64(len(c.weights))
	}
	for i, w := range c.weights {
		limit := 1 / (w + mean)
		c.cross[i] *= complex(limit, 0)
		c.weights[i] *= limit
	}
}

// correlate sets the correlation by shift: 1 for sound that is alike. Shifts at which the legs have too
// little sound in common get 0.
func (c *correlator) correlate(out correlation) {
	alike := 0.0
	for _, w := range c.weights {
		alike += 2 * w // each frequency has a negative one
	}
	c.fft.Sequence(out, c.cross)
	all := math.Sqrt(float64(c.knowns[Primary][historyBins]) * float64(c.knowns[Backup][historyBins]))
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		fit := &out[out.index(shift)]
		if common := c.common(shift); common < leastBins {
			*fit = 0
		} else {
			*fit *= all / float64(common) / alike
		}
	}
}

// common returns how much sound the legs have in common at a shift, at which bin i of the primary
// meets bin i+shift of the backup.
func (c *correlator) common(shift int) int {
	from, to := max(0, -shift), min(historyBins, historyBins-shift)
	primary, backup := c.knowns[Primary], c.knowns[Backup]
	return min(primary[to]-primary[from], backup[to+shift]-backup[from+shift])
}
