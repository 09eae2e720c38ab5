package main

import "encoding/binary"

// An rtpHeader is what a viewer that costs little reads of an RTP packet (RFC 3550 section 5.1).
type rtpHeader struct {
	marker      bool
	payloadType uint8
	sequence    uint16
	timestamp   uint32
}

// parseRTPHeader reads the fixed header. ok is false for what is not RTP.
func parseRTPHeader(b []byte) (h rtpHeader, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 || isRTCP(b) {
		return h, false
	}
	return rtpHeader{b[1]&0x80 != 0, b[1] & 0x7f, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])}, true
}

// isRTCP reports whether a packet is RTCP (RFC 5761 section 4).
func isRTCP(b []byte) bool { return b[1] >= 192 && b[1] <= 223 }

// A sequence follows the sequence numbers of one RTP stream.
type sequence struct {
	begun bool
	next  uint16
	// Missing are the numbers that have not come. Reordered are the packets that came after a
	// packet with a higher number.
	missing, reordered int64
}

func (s *sequence) add(number uint16) {
	ahead := int16(number - s.next)
	switch {
	case !s.begun:
		s.begun, s.next = true, number+1
	case ahead >= 0:
		s.missing += int64(ahead)
		s.next = number + 1
	default:
		s.reordered++
		s.missing = max(0, s.missing-1)
	}
}

// An rtpTally counts what one viewer receives.
type rtpTally struct {
	video, audio           uint8 // payload types
	packets, bytes, frames int64
	videoSeq, audioSeq     sequence
}

// add counts a packet. Bytes are those of the whole UDP payload.
func (t *rtpTally) add(h rtpHeader, size int) {
	switch h.payloadType {
	case t.video:
		t.videoSeq.add(h.sequence)
		if h.marker {
			t.frames++
		}
	case t.audio:
		t.audioSeq.add(h.sequence)
	default:
		return
	}
	t.packets++
	t.bytes += int64(size)
}

// reset sets the counts to 0. The streams go on.
func (t *rtpTally) reset() {
	t.packets, t.bytes, t.frames = 0, 0, 0
	for _, s := range []*sequence{&t.videoSeq, &t.audioSeq} {
		s.missing, s.reordered = 0, 0
	}
}
