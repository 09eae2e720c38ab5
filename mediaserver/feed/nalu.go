package feed

import (
	"math/bits"
	"slices"
)

// NAL unit types, Rec. H.264 table 7-1.
const (
	naluTypeMask      = 0x1f
	naluSlice         = 1
	naluPartitionA    = 2
	naluPartitionB    = 3
	naluPartitionC    = 4
	naluIDR           = 5
	naluSEI           = 6
	naluSPS           = 7
	naluPPS           = 8
	naluDelimiter     = 9
	naluEndOfSequence = 10
	naluEndOfStream   = 11
	naluFiller        = 12
	naluSubsetSPS     = 15
	naluReserved18    = 18
)

// contents is what the NAL units of one message show about where pictures begin.
type contents struct {
	slices       bool // there are slices
	first        bool // one of the slices is the first of its picture
	opensPicture bool // there is a NAL unit that only precedes slices
}

// contentsOf returns the contents of a message.
func contentsOf(nalus [][]byte) contents {
	var c contents
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			continue
		}
		switch t := nalu[0] & naluTypeMask; t {
		case naluSlice, naluPartitionA, naluIDR:
			c.slices = true
			c.first = c.first || !isLaterSlice(nalu[1:])
		case naluPartitionB, naluPartitionC:
			c.slices = true // they follow a partition A
		default:
			c.opensPicture = c.opensPicture || opensPicture(t)
		}
	}
	return c
}

// isLater reports whether a message continues the picture of the message before.
func (c contents) isLater() bool { return c.slices && !c.first }

// begins reports whether a picture begins with the message.
func (c contents) begins() bool { return c.first || c.opensPicture && !c.slices }

// opensPicture reports whether a NAL unit of that type, after a picture's slices, begins the
// next picture (Rec. H.264 section 7.4.1.2.3). A prefix NAL unit (14) does so too, but is not
// counted: it also precedes later slices, and no decoder needs it.
func opensPicture(t byte) bool {
	switch t {
	case naluSEI, naluSPS, naluPPS, naluDelimiter:
		return true
	}
	return t >= naluSubsetSPS && t <= naluReserved18
}

// isPadding reports whether a NAL unit carries nothing for a decoder of one stream: filler data,
// and ends of a sequence or stream. Such NAL units may follow a picture's slices.
func isPadding(nalu []byte) bool {
	switch nalu[0] & naluTypeMask {
	case naluEndOfSequence, naluEndOfStream, naluFiller:
		return true
	}
	return false
}

func hasIDR(nalus [][]byte) bool {
	return slices.ContainsFunc(nalus, func(nalu []byte) bool { return nalu[0]&naluTypeMask == naluIDR })
}

// isLaterSlice reports whether a slice header belongs to a later slice of a picture. In
// such a header first_mb_in_slice, its first ue(v), is not 0 (Rec. H.264 section
// 7.3.3). A number larger than any picture is not taken for one.
func isLaterSlice(header []byte) bool {
	const mostZeros = 17 // before a number below 2^18: level 6.2 has 139,264 macroblocks
	var word uint32
	for _, b := range header[:min(len(header), 4)] {
		word = word<<8 | uint32(b)
	}
	word <<= 8 * (4 - min(len(header), 4))
	zeros := bits.LeadingZeros32(word)
	return zeros > 0 && zeros <= mostZeros
}
