package step

import (
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
)

const (
	historyBlocks = int(History / sound.BlockLength)
	historyBins   = historyBlocks * sound.BlockBins
	// restartBlocks is the gap after which a leg counts as restarted.
	restartBlocks = int64(2 * time.Second / sound.BlockLength)
)

// A history is the newest sound of one leg, 58 kB.
type history struct {
	blocks [historyBlocks]block // the block with number n is at n modulo historyBlocks
	newest int64                // number of the newest block
	filled bool                 // whether there is a block
}

// A block is one fingerprint. The number is that of its time in blocks.
type block struct {
	number int64
	known  bool
	print  sound.Fingerprint
}

// add takes the next block, and reports whether the leg has restarted.
func (h *history) add(at time.Duration, print sound.Fingerprint) (restarted bool) {
	number := int64(at / sound.BlockLength)
	if at < 0 && at%sound.BlockLength != 0 {
		number--
	}
	if h.filled && (number <= h.newest || number > h.newest+restartBlocks) {
		*h = history{}
		restarted = true
	}
	*h.at(number) = block{number: number, known: true, print: print}
	h.newest, h.filled = number, true
	return restarted
}

func (h *history) at(number int64) *block {
	n := number % int64(historyBlocks)
	if n < 0 {
		n += int64(historyBlocks)
	}
	return &h.blocks[n]
}

// end is the time at which the newest block ends.
func (h *history) end() time.Duration { return time.Duration(h.newest+1) * sound.BlockLength }

// A series is one band of a history, oldest first. The last value is the newest block's last.
type series struct {
	values [historyBins]float64
	known  [historyBins]bool
}

// read sets the series to one band. Values are steps of the fingerprint.
func (s *series) read(h *history, band int) {
	for i := range historyBlocks {
		number := h.newest - int64(historyBlocks-1-i)
		b := h.at(number)
		known := h.filled && b.known && b.number == number
		for j := range sound.BlockBins {
			s.values[i*sound.BlockBins+j] = float64(b.print[band][j])
			s.known[i*sound.BlockBins+j] = known
		}
	}
}

// averageBins is the length of the moving average that changes takes away, on each side: slow
// changes of the level say little about the time.
const averageBins = int(500 * time.Millisecond / sound.BinLength)

// loudestStep bounds how much one sudden change counts, in steps.
const loudestStep = 45

// changes sets out to each value's distance from the mean of its surroundings. Unknown values become 0,
// which counts for nothing.
func (s *series) changes(out []float64) {
	sum, count := 0.0, 0
	slide := func(i, by int) {
		if i >= 0 && i < historyBins && s.known[i] {
			sum += float64(by) * s.values[i]
			count += by
		}
	}
	for i := -averageBins; i < historyBins; i++ {
		slide(i+averageBins, 1)
		slide(i-averageBins-1, -1)
		if i < 0 {
			continue
		}
		out[i] = 0
		if s.known[i] {
			out[i] = min(max(s.values[i]-sum/float64(count), -loudestStep), loudestStep)
		}
	}
}
