package step

import (
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
)

// A Leg is one side of the pair.
type Leg int

// The two legs.
const (
	Primary Leg = iota
	Backup
	legs
)

const (
	// History is how much sound of each leg is compared.
	History = 60 * time.Second
	// Range is the largest difference that is found, measured between the newest sound of both
	// legs.
	Range = 30 * time.Second
)

// A Doubt says why an offset is unknown.
type Doubt string

const (
	// NoDoubt is that of a known offset.
	NoDoubt Doubt = ""
	// TooLittle means that less than 15 s of both legs' sound can be compared.
	TooLittle Doubt = "TooLittle"
	// Flat means that the sound of a leg does not change: silence.
	Flat Doubt = "Flat"
	// Different means that no offset makes both legs alike: for example another commentary.
	Different Doubt = "Different"
	// Ambiguous means that several offsets fit as well: for example a loop, or a hum.
	Ambiguous Doubt = "Ambiguous"
)

// An Estimate is what is known of the difference of two legs.
type Estimate struct {
	// Doubt says why Offset is unknown.
	Doubt Doubt
	// Offset is the backup's time of a sound minus the primary's time of the same sound: it is
	// positive if the backup is later. 0 if unknown. It is the mean of the sound compared. So under
	// a drift it is that of some 30 s ago.
	Offset time.Duration
	// Confidence is how much better Offset fits than the next best offset, 0 to 1. Two encodings
	// of the same sound have some 0.9. 0 if unknown.
	Confidence float64
	// DriftPPM is by how much Offset grows: 100 are 6 ms a minute. 0 if unknown.
	DriftPPM float64
	// DriftConfidence is 0 if the drift is unknown, which it is for a minute. With 0.5 the error
	// may be 30 ppm, with 0.9 some 3 ppm.
	DriftConfidence float64
}

// surelyDrift is the least confidence in a drift.
const surelyDrift = 0.5

// DriftKnown reports whether DriftPPM is told to people.
func (e Estimate) DriftKnown() bool { return e.DriftConfidence >= surelyDrift }

// An Estimator compares the sound of two legs. It takes 2 MB, and no more however much is added.
type Estimator struct {
	histories  [legs]history
	correlator *correlator
	track      track
}

// NewEstimator returns an Estimator without sound.
func NewEstimator() *Estimator { return &Estimator{correlator: newCorrelator()} }

// Add takes the fingerprint of a leg's next block of sound. Both legs have clocks of their own. A
// jump back, or a gap of more than 2 s, is a restart of the leg: what was known is forgotten.
func (e *Estimator) Add(leg Leg, at time.Duration, print sound.Fingerprint) {
	if restarted := e.histories[leg].add(at, print); restarted {
		e.track = track{}
	}
}

// Reset forgets a leg's sound, and all that was known of the difference.
func (e *Estimator) Reset(leg Leg) {
	e.histories[leg] = history{}
	e.track = track{}
}

// Estimate compares the newest sound of both legs. It takes some ms of computing, and is meant to
// be called each 5 s.
func (e *Estimator) Estimate() Estimate {
	primary, backup := &e.histories[Primary], &e.histories[Backup]
	shift, fit, doubt := e.correlator.compare(primary, backup)
	if doubt != NoDoubt {
		return Estimate{Doubt: doubt}
	}
	offset := backup.end() - primary.end() + shift
	e.track.add(primary.end(), offset)
	out := Estimate{Offset: offset, Confidence: fit}
	out.DriftPPM, out.DriftConfidence = e.track.drift()
	return out
}
