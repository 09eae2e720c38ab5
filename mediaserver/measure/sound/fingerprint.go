package sound

import (
	"encoding/base64"
	"fmt"
	"math"
	"time"
)

const (
	// Bands is the number of bands of a Fingerprint.
	Bands = 4
	// BlockBins is the number of values of each band in a Fingerprint.
	BlockBins = 20
	// BinLength is the time between two values.
	BinLength = BlockLength / BlockBins
)

// A Fingerprint is the course of a block's sound, 80 bytes: the level of each band, each 5 ms. The
// bands lie below 4 kHz, where every sample rate has them and every codec keeps them. A value is
// a level in steps of binStep dB above binFloor.
type Fingerprint [Bands][BlockBins]uint8

const (
	binFloor = -80.0
	binStep  = 1.0 / 3
)

// MarshalText returns the fingerprint as 107 bytes of base64, for its way to another pod.
func (f Fingerprint) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, Bands*BlockBins)
	for _, band := range f {
		raw = append(raw, band[:]...)
	}
	return base64.RawStdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText returns. Anything else is an error.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	var raw [Bands * BlockBins]byte
	if want := base64.RawStdEncoding.EncodedLen(len(raw)); len(text) != want {
		return fmt.Errorf("fingerprint of %d bytes, want %d", len(text), want)
	}
	n, err := base64.RawStdEncoding.Decode(raw[:], text)
	if err != nil {
		return fmt.Errorf("read fingerprint: %w", err)
	}
	if n != len(raw) { // a line break counts for nothing in base64
		return fmt.Errorf("fingerprint of %d values, want %d", n, len(raw))
	}
	for i := range f {
		copy(f[i][:], raw[i*BlockBins:])
	}
	return nil
}

// softFloor is added to each band's mean square: -70 dBFS. What codecs leave of silence is below, and
// does not show.
const softFloor = 1e-7

// bandEdges are the bands' limits in Hz.
var bandEdges = [Bands + 1]float64{80, 300, 800, 1700, 3000}

// A printer makes fingerprints of the mean of all channels, so that mono is like stereo.
type printer struct {
	bands [Bands]biquad
	sums  [Bands]float64
	print Fingerprint
}

func newPrinter(rate int) printer {
	var p printer
	for i := range p.bands {
		p.bands[i] = bandPass(float64(rate), bandEdges[i], bandEdges[i+1])
	}
	return p
}

// add takes the next samples of the current bin.
func (p *printer) add(samples []float64) {
	for i := range p.bands {
		f := &p.bands[i]
		b0, b2, a1, a2, s1, s2, sum := f.b0, f.b2, f.a1, f.a2, f.s1, f.s2, 0.0
		for _, x := range samples {
			y := b0*x + s1
			s1 = s2 - a1*y
			s2 = b2*x - a2*y
			sum += y * y
		}
		f.s1, f.s2 = s1, s2
		p.sums[i] += sum
	}
}

// endBin ends a bin of n samples.
func (p *printer) endBin(bin, n int) {
	for i := range p.bands {
		level := 10 * math.Log10(p.sums[i]/float64(max(n, 1))+softFloor)
		p.print[i][bin] = uint8(min(max(math.Round((level-binFloor)/binStep), 0), math.MaxUint8))
		p.sums[i] = 0
		p.bands[i].settle()
	}
}

// binAt returns the number of the bin which a time is in.
func binAt(t time.Duration) int64 {
	n := int64(t / BinLength)
	if t < 0 && t%BinLength != 0 {
		n--
	}
	return n
}
