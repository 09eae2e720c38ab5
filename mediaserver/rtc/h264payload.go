package rtc

import (
	"encoding/binary"

	"github.com/streampair/streampair/mediaserver/stream"
)

// NAL unit types of RFC 6184 section 5.2 and ITU-T H.264 table 7-1.
const (
	naluTypeMask  = 0x1f
	naluRefMask   = 0x60
	naluTypeSTAPA = 24
	naluTypeFUA   = 28

	stapaHeaderSize = 1
	stapaLengthSize = 2 // before each NAL unit
	// maxAggregated is the greatest number of NAL units in a STAP-A. Older versions of libwebrtc
	// note the types of ten at most.
	maxAggregated = 10

	fuaHeaderSize = 2
	fuaStart      = 0x80
	fuaEnd        = 0x40
)

// appendH264Payloads appends the RTP payloads of one access unit in packetization-mode 1 (RFC
// 6184). Each payload has at most limit bytes. The format's parameter sets precede an IDR, so
// that a decoder can start, and parameters can change, at any IDR.
//
// NAL units that fit into one packet together share it, in decoding order. So parameter sets arrive
// together or are lost together. A NAL unit that fits alone is used without a copy, because
// access units are immutable.
func appendH264Payloads(dst [][]byte, u *stream.AccessUnit, limit int) [][]byte {
	var shared aggregate
	if u.IDR && u.Format != nil {
		dst = shared.add(dst, u.Format.SPS, limit)
		dst = shared.add(dst, u.Format.PPS, limit)
	}
	for _, nalu := range u.NALUs {
		dst = shared.add(dst, nalu, limit)
	}
	return shared.flush(dst, limit)
}

// An aggregate holds the NAL units of the next packet. They are several only if they fit together.
type aggregate struct {
	nalus [maxAggregated][]byte
	n     int
	size  int // of the NAL units as a STAP-A, in bytes
}

// add adds a NAL unit. If it does not fit to the others, these are appended to dst before.
func (a *aggregate) add(dst [][]byte, nalu []byte, limit int) [][]byte {
	if len(nalu) == 0 {
		return dst
	}
	size := stapaLengthSize + len(nalu)
	if a.n == len(a.nalus) || a.n > 0 && a.size+size > limit {
		dst = a.flush(dst, limit)
	}
	if a.n == 0 {
		a.size = stapaHeaderSize
	}
	a.nalus[a.n] = nalu
	a.n++
	a.size += size
	return dst
}

// flush appends the payloads of the NAL units, and forgets these. Several of them become one STAP-A
// (RFC 6184 section 5.7.1).
func (a *aggregate) flush(dst [][]byte, limit int) [][]byte {
	nalus := a.nalus[:a.n]
	a.n = 0
	switch len(nalus) {
	case 0:
		return dst
	case 1:
		return appendNALU(dst, nalus[0], limit)
	}
	b := make([]byte, stapaHeaderSize, a.size)
	var ref byte
	for _, nalu := range nalus {
		ref = max(ref, nalu[0]&naluRefMask)
		b = binary.BigEndian.AppendUint16(b, uint16(len(nalu)))
		b = append(b, nalu...)
	}
	b[0] = ref | naluTypeSTAPA
	return append(dst, b)
}

// appendNALU appends one NAL unit, either whole or in FU-A fragments (RFC 6184 section
// 5.8). The fragments are as few as possible, and all but the last are of the same size: one system
// call can send them (see outbox). They share a single allocation.
func appendNALU(dst [][]byte, nalu []byte, limit int) [][]byte {
	if len(nalu) <= limit {
		return append(dst, nalu)
	}
	rest := nalu[1:] // the two bytes of the FU carry the NAL unit's own header
	room := limit - fuaHeaderSize
	fragments := (len(rest) + room - 1) / room
	buf := make([]byte, 0, len(rest)+fragments*fuaHeaderSize)
	flag := byte(fuaStart)
	for len(rest) > 0 {
		n := min(room, len(rest))
		if n == len(rest) {
			flag = fuaEnd
		}
		start := len(buf)
		buf = append(buf, nalu[0]&naluRefMask|naluTypeFUA, flag|nalu[0]&naluTypeMask)
		buf = append(buf, rest[:n]...)
		dst = append(dst, buf[start:len(buf):len(buf)])
		rest, flag = rest[n:], 0
	}
	return dst
}
