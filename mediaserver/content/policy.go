package content

import "time"

// A Fault is one kind of fault.
type Fault int

// The faults.
const (
	Black Fault = iota
	Frozen
	Silent
	LowBitrate
	LowFrameRate
	faultCount int = iota
)

// String returns the name of the fault in status and conditions.
func (f Fault) String() string {
	return [...]string{"Black", "Frozen", "Silent", "LowBitrate", "LowFrameRate"}[f]
}

// Faults returns all faults, the worst first.
func Faults() []Fault { return []Fault{Black, Frozen, Silent, LowBitrate, LowFrameRate} }

// A Policy says when faults count.
type Policy struct {
	// After is how long each fault must last before it counts; 0: it never counts.
	After [faultCount]time.Duration
	// SilenceDBFS is the level below which sound is silent.
	SilenceDBFS float64
	// LowBitrateBPS is the bit rate below which the bit rate is low; 0: none is low.
	LowBitrateBPS int64
	// LowFrameRate is the share of the usual picture rate below which the picture rate is low, 0 to 1.
	LowFrameRate float64
	// Clear is how long a leg must be clearly without a fault before the fault is over.
	Clear time.Duration
}

// The margins by which the other leg must be without a fault. Between the two limits a leg is
// neither faulty nor clear.
const (
	marginDB = 10
	// The share of pixels that are dark or of one colour. With less than 0.98 and more than 0.90 the
	// picture may be a dark scene.
	oneColorFaulty, oneColorClear = 0.98, 0.90
	// The mean difference from the first of a row of unchanged pictures, as a share of full scale. 0.001 is -60 dB.
	frozenFaulty, frozenClear = 0.001, 0.003
	rateMargin                = 1.2
)

// A Picture is a measured picture.
type Picture struct {
	// Dark is the share of dark pixels, and Uniform the share of pixels that have the main colour,
	// both 0 to 1.
	Dark, Uniform float64
	// Difference is the mean difference from the first of a row of unchanged pictures, 0 to 1. The
	// first picture of a publication is not judged by it.
	Difference float64
}

// A state says how a leg stands as to one fault at one moment.
type state int

const (
	unsure state = iota // between the limits
	faulty
	clear
)

// between returns the state of a value that is faulty below low and clear from high on.
func between(value, low, high float64) state {
	switch {
	case value < low:
		return faulty
	case value >= high:
		return clear
	}
	return unsure
}

// black judges whether a picture is black, or of another single colour.
func black(p Picture) state {
	return between(1-max(p.Dark, p.Uniform), 1-oneColorFaulty, 1-oneColorClear)
}

func frozen(p Picture) state { return between(p.Difference, frozenFaulty, frozenClear) }

func (p Policy) silent(peakDBFS float64) state {
	return between(peakDBFS, p.SilenceDBFS, p.SilenceDBFS+marginDB)
}

func (p Policy) lowBitrate(bps int64) state {
	return between(float64(bps), float64(p.LowBitrateBPS), float64(p.LowBitrateBPS)*rateMargin)
}

// lowFrameRate judges a picture rate and the leg's usual picture rate, both in pictures a second.
func (p Policy) lowFrameRate(rate, usual float64) state {
	if usual == 0 {
		return unsure
	}
	return between(rate/usual, p.LowFrameRate, min(p.LowFrameRate*rateMargin, 1))
}
