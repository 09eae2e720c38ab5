package sound

import (
	"math"
	"time"
)

const (
	// BlockLength is the length of a Block.
	BlockLength = 100 * time.Millisecond
	// MaxChannels is the largest number of channels of a Meter.
	MaxChannels = 8
	// Floor is the lowest level that is told, in dBFS or LUFS. Digital silence has it.
	Floor = -120.0
)

// A Block is what was measured in 100 ms of sound. It takes some 170 bytes and points to nothing.
type Block struct {
	// At is the time of the block's beginning on the leg's clock, a multiple of BlockLength.
	At time.Duration
	// RMS and Peak are those of the loudest channel, in dBFS: a full-scale square has 0.
	RMS, Peak float64
	// Peaks has the peak of each of the first Channels channels, in dBFS.
	Peaks [MaxChannels]float32
	// Channels is the number of channels.
	Channels int
	// Clipped counts the samples of all channels at full scale.
	Clipped int
	// Momentary and ShortTerm are the loudness of the last 400 ms and 3 s, in LUFS, to the
	// block's end (EBU Tech 3341). Time without sound in them is left out: after a start or a gap
	// they are of less sound.
	Momentary, ShortTerm float64
	// Print is what package step compares.
	Print Fingerprint
}

// Silent reports whether every sample of every channel was below a threshold in dBFS. ffmpeg's
// silencedetect has -60 dBFS, and tells of silence that lasts for 2 s. Lossy codecs may leave
// noise above that.
func (b *Block) Silent(threshold float64) bool { return b.Peak < threshold }

// Dead reports the channels that were silent while another was not: bit 0 is the first channel.
func (b *Block) Dead(threshold float64) (channels uint8) {
	if b.Silent(threshold) {
		return 0
	}
	for i, peak := range b.Peaks[:b.Channels] {
		if float64(peak) < threshold {
			channels |= 1 << i
		}
	}
	return channels
}

// amplitudeDB returns the level of an amplitude in dBFS.
func amplitudeDB(a float64) float64 { return max(20*math.Log10(a), Floor) }

// powerDB returns the level of a mean square in dBFS.
func powerDB(p float64) float64 { return max(10*math.Log10(p), Floor) }
