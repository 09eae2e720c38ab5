package sound

import (
	"fmt"
	"math"
	"time"
)

// Config says what sound a Meter measures.
type Config struct {
	// Rate is the sample rate in Hz, 8000 to 96000. It has no default.
	Rate int
	// Channels is the number of channels, 1 to MaxChannels, in the order of WAVE files. It has no
	// default.
	Channels int
	// Gap is how far the time of samples may be from the end of the samples before. A larger
	// distance is a gap or a jump. Default 60 ms, which suits RTMP; 5 ms suit RTP.
	Gap time.Duration
}

const (
	defaultGap = 60 * time.Millisecond
	// follow is the part of a time's departure by which the meter's time follows. It averages the
	// rounding of RTMP to milliseconds over some 64 frames, and follows a clock that drifts.
	follow = 1.0 / 64
	// fullScale is the largest sample of 16 bits, which AAC is decoded to.
	fullScale = 32767.0 / 32768
)

// A Meter measures the sound of one publication. It takes at most 32 kB, and beside that the
// memory of the blocks which one call of Write returns.
type Meter struct {
	cfg      Config
	weights  [MaxChannels]float64
	channels [MaxChannels]channel
	printer  printer
	loudness loudness
	mono     []float64 // the mean of all channels, for some samples

	located bool
	next    float64 // the time of the next sample, in seconds
	bin     int64   // the current bin
	samples int     // in the current bin
	block   blockState
	out     []Block
}

// blockState is what is known of the current block beside its channels.
type blockState struct {
	whole   bool // whether nothing is missing since the block began
	samples int
	clipped int
}

// NewMeter returns a Meter, or an error if the configuration is out of range.
func NewMeter(cfg Config) (*Meter, error) {
	if cfg.Rate < 8000 || cfg.Rate > 96000 {
		return nil, fmt.Errorf("sample rate of %d Hz: 8000 to 96000 can be measured", cfg.Rate)
	}
	if cfg.Channels < 1 || cfg.Channels > MaxChannels {
		return nil, fmt.Errorf("%d channels: 1 to %d can be measured", cfg.Channels, MaxChannels)
	}
	if cfg.Gap <= 0 {
		cfg.Gap = defaultGap
	}
	m := &Meter{cfg: cfg, weights: channelWeights(cfg.Channels)}
	m.mono = make([]float64, int(BinLength.Seconds()*float64(cfg.Rate))+2)
	m.forget()
	return m, nil
}

// Write takes the next samples, one slice of equal length for each channel, and the time of the
// first of them. It returns the blocks that are complete; they are valid until the next call. Another
// number of channels is ignored.
//
// Blocks lie on multiples of BlockLength. A block that lacks samples, because of a gap or at the
// start, is not returned: a gap is not silence. After a jump back, the meter is as new.
func (m *Meter) Write(at time.Duration, samples [][]float32) []Block {
	m.out = m.out[:0]
	if len(samples) != m.cfg.Channels {
		return nil
	}
	n := len(samples[0])
	for _, s := range samples {
		n = min(n, len(s))
	}
	if n == 0 {
		return nil
	}
	m.locate(at)
	for from := 0; ; {
		left := m.untilNextBin()
		switch {
		case left == 0:
			m.endBin()
		case from == n:
			return m.out
		default:
			to := min(n, from+left)
			m.measure(samples, from, to)
			from = to
		}
	}
}

// locate compares a time with the end of the samples before it.
func (m *Meter) locate(at time.Duration) {
	departure := at.Seconds() - m.next
	if m.located && math.Abs(departure) <= m.cfg.Gap.Seconds() {
		m.next += departure * follow
		return
	}
	if m.located && departure < 0 {
		m.forget()
	}
	m.located, m.next, m.bin = true, at.Seconds(), binAt(at)
	m.startBlock(false)
	// A block whose first bin begins here is whole.
	if at%BlockLength == 0 {
		m.block.whole = true
	}
}

// forget makes the meter as new.
func (m *Meter) forget() {
	for i := range m.channels {
		m.channels[i] = newChannel(m.cfg.Rate)
	}
	m.printer = newPrinter(m.cfg.Rate)
	m.loudness = loudness{}
}

// untilNextBin returns how many samples remain in the current bin.
func (m *Meter) untilNextBin() int {
	end := float64(m.bin+1) * BinLength.Seconds()
	// Without the margin, rounding would put a sample at the very end into the bin.
	left := int(math.Ceil((end-m.next)*float64(m.cfg.Rate) - 1e-3))
	return min(max(left, 0), len(m.mono))
}

// measure takes samples of the current bin.
func (m *Meter) measure(samples [][]float32, from, to int) {
	mono := m.mono[:to-from]
	clear(mono)
	for i := range m.cfg.Channels {
		m.block.clipped += m.channels[i].add(samples[i][from:to], mono)
	}
	scale := 1 / float64(m.cfg.Channels)
	for i := range mono {
		mono[i] *= scale
	}
	m.printer.add(mono)
	m.samples += to - from
	m.block.samples += to - from
	m.next += float64(to-from) / float64(m.cfg.Rate)
}

// endBin ends the current bin, and the block with its last bin.
func (m *Meter) endBin() {
	place := int(((m.bin % BlockBins) + BlockBins) % BlockBins)
	m.printer.endBin(place, m.samples)
	m.samples = 0
	m.bin++
	if place == BlockBins-1 {
		if m.block.whole && m.block.samples > 0 {
			m.out = append(m.out, m.endBlock())
		}
		m.startBlock(true)
	}
}

func (m *Meter) startBlock(whole bool) {
	for i := range m.channels[:m.cfg.Channels] {
		m.channels[i].start()
	}
	m.block = blockState{whole: whole}
	m.samples, m.printer.sums = 0, [Bands]float64{}
}

// endBlock returns the block that has just ended.
func (m *Meter) endBlock() Block {
	index := m.bin/BlockBins - 1
	b := Block{
		At: time.Duration(index) * BlockLength, RMS: Floor, Peak: Floor,
		Channels: m.cfg.Channels, Clipped: m.block.clipped, Print: m.printer.print,
	}
	power := 0.0
	for i := range m.channels[:m.cfg.Channels] {
		c := &m.channels[i]
		peak := amplitudeDB(float64(c.peak))
		b.Peaks[i] = float32(peak)
		b.Peak = max(b.Peak, peak)
		b.RMS = max(b.RMS, powerDB(c.squares/float64(m.block.samples)))
		power += m.weights[i] * c.weighted / float64(m.block.samples)
	}
	m.loudness.add(index, power)
	b.Momentary = m.loudness.over(index, momentaryBlocks)
	b.ShortTerm = m.loudness.over(index, shortTermBlocks)
	return b
}
