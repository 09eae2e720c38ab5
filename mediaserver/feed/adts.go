package feed

import (
	"bytes"
	"errors"

	"github.com/streampair/streampair/mediaserver/flv"
)

var errNoADTS = errors.New("bytes that are no ADTS frame of AAC")

const (
	// adtsHeaderSize is the size of an ADTS header without CRC (ISO/IEC 14496-3 section 1.A.2.2).
	adtsHeaderSize = 7
	// samplesPerFrame is how many samples an AAC frame has, on the clock of its core.
	samplesPerFrame = 1024
)

// An adtsSplitter splits the data of PES packets into AAC frames. A frame may begin in one PES packet
// and end in the next one.
type adtsSplitter struct{ rest []byte }

// An adtsFrame is an AAC frame without its header, and the AudioSpecificConfig that its header stands
// for.
type adtsFrame struct{ config, data []byte }

// split returns the frames that end in data. The first begun of them began in the data before. The
// time of a PES packet is that of the first frame that begins in the packet. The frames point into
// data. An error stands for bytes that are left out; the frames around them are returned.
func (s *adtsSplitter) split(data []byte) (frames []adtsFrame, begun int, err error) {
	old := len(s.rest)
	if old > 0 {
		data = append(s.rest, data...)
		s.rest = nil
	}
	for at := 0; at < len(data); {
		length, ok := adtsLength(data[at:])
		if ok && length > len(data)-at {
			s.rest = bytes.Clone(data[at:])
			break
		}
		var raw [][]byte
		var config []byte
		if ok {
			raw, config, ok = flv.SplitADTS(data[at : at+length])
		}
		if !ok {
			err = errNoADTS
			at += nextADTS(data[at:])
			continue
		}
		frames = append(frames, adtsFrame{config, raw[0]})
		if at < old {
			begun++
		}
		at += length
	}
	return frames, begun, err
}

// adtsLength returns the length of the ADTS frame at the beginning of b. If b is too short to tell,
// the length is longer than b. ok is false if no frame begins there.
func adtsLength(b []byte) (length int, ok bool) {
	if b[0] != 0xff || len(b) > 1 && b[1]&0xf6 != 0xf0 {
		return 0, false
	}
	if len(b) < adtsHeaderSize {
		return adtsHeaderSize, true
	}
	length = int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	return length, length > adtsHeaderSize
}

// nextADTS returns where the next frame may begin, after the first byte.
func nextADTS(b []byte) int {
	if i := bytes.IndexByte(b[1:], 0xff); i >= 0 {
		return 1 + i
	}
	return len(b)
}
