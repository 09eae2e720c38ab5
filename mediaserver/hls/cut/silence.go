package cut

import "github.com/streampair/streampair/mediaserver/stream"

// silentOpus is 20 ms of silence, RFC 6716 section 3.1: CELT, fullband, one frame. The first byte
// is for mono. The bit stereoOpus makes the packet stereo.
var silentOpus = []byte{0xf8, 0xff, 0xfe}

const (
	stereoOpus        = 0x04
	silentOpusSamples = 960 // at 48 kHz
)

// Elements of a raw AAC frame, ISO/IEC 14496-3 table 4.85.
const (
	singleChannel = 0
	channelPair   = 1
	lowFrequency  = 3
	frameEnd      = 7
)

// channelElements are the elements of a frame by channelConfiguration, ISO/IEC 14496-3 table 1.19.
var channelElements = [8][]uint64{
	{}, {singleChannel}, {channelPair}, {singleChannel, channelPair}, {singleChannel, channelPair, singleChannel},
	{singleChannel, channelPair, channelPair}, {singleChannel, channelPair, channelPair, lowFrequency},
	{singleChannel, channelPair, channelPair, channelPair, lowFrequency},
}

// channelStream is the length in bits of an individual_channel_stream without any band
// (ISO/IEC 14496-3 table 4.50). It is all zeros: global_gain 8, ics_info 11 with max_sfb 0, and
// three flags.
const channelStream = 8 + 11 + 3

// silentAAC returns a raw AAC frame without sound; nil: the channelConfiguration has none.
func silentAAC(channelConfiguration int) []byte {
	if channelConfiguration < 1 || channelConfiguration >= len(channelElements) {
		return nil
	}
	var w bitWriter
	var instances [8]uint64 // by element
	for _, element := range channelElements[channelConfiguration] {
		w.write(element, 3)
		w.write(instances[element], 4)
		instances[element]++
		if element == channelPair {
			w.write(0, 1) // no common_window
			w.write(0, channelStream)
		}
		w.write(0, channelStream)
	}
	w.write(frameEnd, 3)
	return w.bytes
}

// A bitWriter appends bits, the highest first.
type bitWriter struct {
	bytes []byte
	bits  int
}

func (w *bitWriter) write(value uint64, bits int) {
	for i := bits - 1; i >= 0; i-- {
		if w.bits%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.bits/8] |= byte(value>>i&1) << (7 - w.bits%8)
		w.bits++
	}
}

// silentFrame returns a frame of silence in the format of the track, and its length in samples.
func silentFrame(t soundTrack) ([]byte, int64) {
	if t.format.Codec == stream.Opus {
		frame := append([]byte{}, silentOpus...)
		if t.format.Channels > 1 {
			frame[0] |= stereoOpus
		}
		return frame, silentOpusSamples
	}
	return silentAAC(int(t.config.ChannelConfig)), t.aacSamples()
}
