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

	fuaHeaderSize = 2
	fuaStart      = 0x80
	fuaEnd        = 0x40
)

// appendH264Payloads appends the RTP payloads of one access unit in packetization-mode 1 (RFC
// 6184). Each payload has at most limit bytes. The format's parameter sets precede an IDR, so
// that a decoder can start, and parameters can change, at any IDR.
//
// A NAL unit that fits is used without a copy, because access units are immutable.
func appendH264Payloads(dst [][]byte, u *stream.AccessUnit, limit int) [][]byte {
	if u.IDR && u.Format != nil {
		dst = appendParameterSets(dst, u.Format.SPS, u.Format.PPS, limit)
	}
	for _, nalu := range u.NALUs {
		dst = appendNALU(dst, nalu, limit)
	}
	return dst
}

// appendParameterSets puts SPS and PPS into one STAP-A (RFC 6184 section 5.7.1) if
// they fit. So they arrive together or are lost together.
func appendParameterSets(dst [][]byte, sps, pps []byte, limit int) [][]byte {
	size := 1 + 2 + len(sps) + 2 + len(pps)
	if len(sps) == 0 || len(pps) == 0 || size > limit {
		return appendNALU(appendNALU(dst, sps, limit), pps, limit)
	}
	b := make([]byte, 1, size)
	b[0] = max(sps[0]&naluRefMask, pps[0]&naluRefMask) | naluTypeSTAPA
	for _, nalu := range [][]byte{sps, pps} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(nalu)))
		b = append(b, nalu...)
	}
	return append(dst, b)
}

// appendNALU appends one NAL unit, either whole or in FU-A fragments (RFC 6184 section
// 5.8). All fragments share a single allocation.
func appendNALU(dst [][]byte, nalu []byte, limit int) [][]byte {
	if len(nalu) == 0 {
		return dst
	}
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
