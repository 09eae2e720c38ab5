package feed

import (
	"encoding/binary"
	"errors"
)

// opusRate is the rate of Opus's clock, whatever the input's rate was.
const opusRate = 48000

// An identification header (RFC 7845 section 5.1) has a magic, a version and the number of
// channels. The samples to skip at the beginning, the rate of the input and the gain follow. Last is
// the channel mapping family. Family 0 is mono or stereo.
const (
	opusMagic       = "OpusHead"
	opusHeadVersion = 1
	opusHeadLength  = 19
)

// OpusHead returns the identification header of a mono or stereo stream. It has no
// samples to skip, because receivers join while the stream runs.
func OpusHead(channels int) []byte {
	b := append([]byte(opusMagic), opusHeadVersion, byte(channels), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, opusRate)
	return append(b, 0, 0, 0)
}

// opusChannels returns the number of channels in an identification header.
func opusChannels(head []byte) (int, error) {
	if len(head) < opusHeadLength || string(head[:len(opusMagic)]) != opusMagic || head[9] == 0 {
		return 0, errors.New("malformed Opus identification header")
	}
	return int(head[9]), nil
}
