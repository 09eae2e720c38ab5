package feed

import (
	"encoding/binary"
	"errors"
)

// opusRate is the rate of Opus's clock, whatever was encoded.
const opusRate = 48000

// An identification header, RFC 7845 section 5.1: magic, version, channels, samples to
// skip at the beginning, rate of the input, gain, and channel mapping family 0, which is
// mono or stereo.
const (
	opusMagic       = "OpusHead"
	opusHeadVersion = 1
	opusHeadLength  = 19
)

// OpusHead returns the identification header of a mono or stereo stream, without
// anything to skip: it is joined while it runs.
func OpusHead(channels int) []byte {
	b := append([]byte(opusMagic), opusHeadVersion, byte(channels), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, opusRate)
	return append(b, 0, 0, 0)
}

// opusChannels reads the channel count of an identification header.
func opusChannels(head []byte) (int, error) {
	if len(head) < opusHeadLength || string(head[:len(opusMagic)]) != opusMagic || head[9] == 0 {
		return 0, errors.New("malformed Opus identification header")
	}
	return int(head[9]), nil
}
