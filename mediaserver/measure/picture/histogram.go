package picture

import "math"

// A histogram counts the samples of a plane by their value.
type histogram struct {
	counts [256]uint32
	total  int
}

// histogramOf reads four samples at a time into counts of their own, since equal neighbours would
// otherwise wait for one another.
func histogramOf(plane []byte) histogram {
	var part [4][256]uint32
	n := len(plane) &^ 3
	for i := 0; i < n; i += 4 {
		p := plane[i : i+4 : i+4]
		part[0][p[0]]++
		part[1][p[1]]++
		part[2][p[2]]++
		part[3][p[3]]++
	}
	for _, v := range plane[n:] {
		part[0][v]++
	}
	h := histogram{total: len(plane)}
	for v := range h.counts {
		h.counts[v] = part[0][v] + part[1][v] + part[2][v] + part[3][v]
	}
	return h
}

// upTo returns the share of samples that are at most v.
func (h *histogram) upTo(v int) float64 {
	sum := uint32(0)
	for _, n := range h.counts[:v+1] {
		sum += n
	}
	return float64(sum) / float64(h.total)
}

// near is how far a sample may be from the main value: noise of a camera and of the codec stays
// within.
const near = 6

// main returns the value that most samples are near to, and their share.
func (h *histogram) main() (value byte, share float64) {
	sum, best, middle := uint32(0), uint32(0), 0
	for v := -near; v < len(h.counts); v++ {
		if next := v + near; next < len(h.counts) {
			sum += h.counts[next]
		}
		if last := v - near - 1; last >= 0 {
			sum -= h.counts[last]
		}
		if v >= 0 && sum > best {
			middle, best = v, sum
		}
	}
	weights := 0
	for v := max(middle-near, 0); v <= min(middle+near, len(h.counts)-1); v++ {
		weights += v * int(h.counts[v])
	}
	return byte((weights + int(best)/2) / int(best)), float64(best) / float64(h.total)
}

// deviation returns the standard deviation of the samples.
func (h *histogram) deviation() float64 {
	sum, squares := 0.0, 0.0
	for v, n := range h.counts {
		sum += float64(v) * float64(n)
		squares += float64(v) * float64(v) * float64(n)
	}
	mean := sum / float64(h.total)
	return math.Sqrt(max(squares/float64(h.total)-mean*mean, 0))
}
