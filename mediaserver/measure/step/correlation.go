package step

import (
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
)

// A correlation says how well two legs fit by the shift between them, in bins. Negative shifts are at
// its end.
type correlation []float64

const (
	// guardBins is how near to the best shift another one counts as the same.
	guardBins = int(150 * time.Millisecond / sound.BinLength)
	// nearBins is by how much the best shifts of two correlations of the same sound may differ.
	nearBins = 2
)

func (c correlation) index(shift int) int { return (shift + len(c)) % len(c) }

// at returns the fit at a shift, which may be one beyond the range.
func (c correlation) at(shift int) float64 {
	return c[c.index(min(max(shift, -rangeBins), rangeBins))]
}

// best returns the shift that fits best.
func (c correlation) best() int {
	best := -rangeBins
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		if c.at(shift) > c.at(best) {
			best = shift
		}
	}
	return best
}

// near returns the best fit at about the same shift.
func (c correlation) near(shift int) (fit float64) {
	for i := shift - nearBins; i <= shift+nearBins; i++ {
		fit = max(fit, c.at(i))
	}
	return fit
}

// besides returns the best fit at another shift.
func (c correlation) besides(best int) (fit float64) {
	for shift := -rangeBins; shift <= rangeBins; shift++ {
		if shift < best-guardBins || shift > best+guardBins {
			fit = max(fit, c.at(shift))
		}
	}
	return fit
}

// vertex returns where the parabola through three values has its top, from -0.5 to 0.5.
func vertex(before, top, after float64) float64 {
	bend := before - 2*top + after
	if bend >= 0 {
		return 0
	}
	return min(max((before-after)/2/bend, -0.5), 0.5)
}
