package main

import (
	"bytes"
	"encoding/binary"
)

// clockID identifies the SEI message that carries the sender's clock (ITU-T H.264 section D.1.6).
var clockID = [16]byte{0x8f, 0x53, 0x21, 0xc7, 0xd4, 0x6e, 0x4b, 0x1a, 0x9c, 0x35, 0xe2, 0x70, 0xab, 0x18, 0x5d, 0xf9}

const (
	// clockBytes is the length of a clock: 64 bits, of which each byte has seven.
	clockBytes = 10

	// NAL unit types of RFC 6184 section 5.2 and ITU-T H.264 table 7-1.
	naluIDR   = 5
	naluSEI   = 6
	naluSTAPA = 24
	naluFUA   = 28

	seiUserDataUnregistered = 5
)

// appendClock appends an SEI NAL unit with a time in ns since 1970. The highest bit of each byte of
// the clock is set, so the NAL unit needs no emulation prevention.
func appendClock(dst []byte, ns int64) []byte {
	dst = append(dst, naluSEI, seiUserDataUnregistered, byte(len(clockID)+clockBytes))
	dst = append(dst, clockID[:]...)
	for i := range clockBytes {
		dst = append(dst, 0x80|byte(uint64(ns)>>(7*i)))
	}
	return append(dst, 0x80) // rbsp_trailing_bits
}

// clockOf returns the time in a NAL unit, if that has one.
func clockOf(nalu []byte) (ns int64, ok bool) {
	const header = 3
	if len(nalu) < header+len(clockID)+clockBytes || nalu[0]&0x1f != naluSEI || nalu[1] != seiUserDataUnregistered ||
		!bytes.Equal(nalu[header:header+len(clockID)], clockID[:]) {
		return 0, false
	}
	var value uint64
	for i, b := range nalu[header+len(clockID):][:clockBytes] {
		value |= uint64(b&0x7f) << (7 * i)
	}
	return int64(value), true
}

// A stampedPicture is a picture with its sender's clock.
type stampedPicture struct {
	ns  int64 // the clock, since 1970; its lowest bit is the number of the leg
	idr bool
}

// withLeg returns a clock that tells the leg, 0 or 1.
func withLeg(ns, leg int64) int64 { return ns&^1 | leg }

func (p stampedPicture) leg() int { return int(p.ns & 1) }

// A clockFinder finds the sender's clock in the RTP payloads of H.264 (RFC 6184).
type clockFinder struct {
	timestamp uint32         // of the picture
	picture   stampedPicture // so far; ns 0: the clock has not come
	fragments []byte         // of an SEI in FU-As; empty: none
}

// add reads the next payload. At the end of a picture with a clock, it returns that picture.
func (f *clockFinder) add(timestamp uint32, marker bool, payload []byte) (p stampedPicture, ok bool) {
	if timestamp != f.timestamp {
		f.timestamp, f.picture, f.fragments = timestamp, stampedPicture{}, f.fragments[:0]
	}
	if !f.picture.idr && len(payload) > 1 {
		f.search(payload)
	}
	if !marker || f.picture.ns == 0 {
		return p, false
	}
	p, f.picture = f.picture, stampedPicture{}
	return p, true
}

func (f *clockFinder) search(payload []byte) {
	found := func(nalu []byte) {
		if ns, ok := clockOf(nalu); ok {
			f.picture.ns = ns
		}
		f.picture.idr = f.picture.idr || len(nalu) > 0 && nalu[0]&0x1f == naluIDR
	}
	switch payload[0] & 0x1f {
	case naluSTAPA:
		for rest := payload[1:]; len(rest) > 2; {
			size := int(binary.BigEndian.Uint16(rest))
			if size > len(rest)-2 {
				return
			}
			found(rest[2 : 2+size])
			rest = rest[2+size:]
		}
	case naluFUA:
		const start, end = 0x80, 0x40
		if payload[1]&0x1f == naluIDR {
			f.picture.idr = true
		}
		if payload[1]&0x1f != naluSEI {
			return
		}
		if payload[1]&start != 0 {
			f.fragments = append(f.fragments[:0], payload[0]&0x60|naluSEI)
		}
		if len(f.fragments) == 0 {
			return
		}
		f.fragments = append(f.fragments, payload[2:]...)
		if payload[1]&end != 0 {
			found(f.fragments)
		}
	default:
		found(payload)
	}
}
