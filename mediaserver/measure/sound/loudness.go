package sound

import "math"

const (
	momentaryBlocks = 4
	shortTermBlocks = 30
)

// loudness keeps the K-weighted power of the last 3 s.
type loudness struct {
	recent [shortTermBlocks]weighted
	next   int
}

// weighted is the K-weighted power of one block, all channels summed.
type weighted struct {
	block int64
	power float64
	known bool
}

func (l *loudness) add(block int64, power float64) {
	l.recent[l.next] = weighted{block: block, power: power, known: true}
	l.next = (l.next + 1) % len(l.recent)
}

// over returns the loudness in LUFS of the n blocks up to the newest. Blocks that are missing are
// left out.
func (l *loudness) over(newest int64, n int64) float64 {
	sum, count := 0.0, 0
	for _, w := range l.recent {
		if w.known && w.block > newest-n && w.block <= newest {
			sum += w.power
			count++
		}
	}
	if count == 0 {
		return Floor
	}
	return max(-0.691+10*math.Log10(sum/float64(count)), Floor)
}

// channelWeights are those of ITU-R BS.1770-5 table 4 for the channels in the order of WAVE files:
// left, right, centre, LFE, and then those behind and beside the listener.
func channelWeights(channels int) [MaxChannels]float64 {
	const behind = 1.41
	weights := [MaxChannels]float64{1, 1, 1, 1, 1, 1, 1, 1}
	switch channels {
	case 4: // quadraphonic
		weights[2], weights[3] = behind, behind
	case 5: // without an LFE
		weights[3], weights[4] = behind, behind
	case 6: // 5.1
		weights[3], weights[4], weights[5] = 0, behind, behind
	case 7: // 6.1: the channel behind has 1
		weights[3], weights[5], weights[6] = 0, behind, behind
	case 8: // 7.1: those at 135° have 1, those beside the listener 1.41
		weights[3], weights[6], weights[7] = 0, behind, behind
	}
	return weights
}
