package sound

import "math"

// The gates of ITU-R BS.1770-5, annex 1: absolute in LUFS, and relative in LU.
const absoluteGate, relativeGate = -70.0, -10.0

// Integrated returns the loudness of a whole programme, in LUFS, from the momentary loudness at each
// block (ITU-R BS.1770-5). It returns Floor if nothing is above the absolute gate.
func Integrated(momentary []float64) float64 {
	first := gated(momentary, absoluteGate)
	if first == Floor {
		return Floor
	}
	return gated(momentary, math.Max(absoluteGate, first+relativeGate))
}

// gated returns the mean loudness of what is above a gate.
func gated(momentary []float64, gate float64) float64 {
	sum, n := 0.0, 0
	for _, m := range momentary {
		if m > gate {
			sum += math.Pow(10, m/10)
			n++
		}
	}
	if n == 0 {
		return Floor
	}
	return powerDB(sum / float64(n))
}
