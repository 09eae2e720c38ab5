package feed

import (
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// This file puts pictures together of publishers that send each NAL unit in a message of its
// own, as some hardware encoders and restreamers do.

// NAL unit types, Rec. H.264 table 7-1.
const (
	naluTypeMask   = 0x1f
	naluSlice      = 1
	naluPartitionA = 2
	naluIDR        = 5
)

// Bounds of a picture that comes in several messages.
const (
	maxPictureBytes = 4 << 20
	maxPictureNALUs = 1024
	// assumedInterval is the frame interval until two pictures have told it.
	assumedInterval = 40 * time.Millisecond
)

var errLaterSlice = errors.New("a picture's later slices without its first")

// pictures writes a publication's pictures. Messages pass as they come, each as a picture,
// until one begins with a later slice of a picture. From then on each picture is held until
// the next begins.
type pictures struct {
	publication *stream.Publication
	split       bool // pictures come in several messages
	// last is the picture written last while split is false; without NAL units before the
	// first one.
	last heldPicture

	held     heldPicture
	interval time.Duration // between the last two pictures
}

// A heldPicture is a picture that may go on with the next message.
type heldPicture struct {
	dts, pts time.Duration // of its first message
	at       time.Duration // when that came, on the media clock
	nalus    [][]byte
	bytes    int
	slices   bool // there is one among the NAL units
}

// write takes the NAL units of one message.
func (p *pictures) write(dts, pts time.Duration, nalus [][]byte) error {
	first, any := slicesOf(nalus)
	later := any && !first
	if !p.split && (!later || !p.last.slices) {
		if any {
			p.last = heldPicture{dts: dts, pts: pts, at: p.publication.Stream().Now(), nalus: nalus, slices: true}
		}
		return p.publication.WriteVideo(dts, pts, nalus)
	}
	if !p.split {
		p.split = true
		// The picture's first slices have gone out as if they were all of it. An IDR can
		// go out once more, as a whole. Pictures that refer to another one are spoilt.
		if hasIDR(p.last.nalus) {
			p.held = p.last
		} else {
			p.publication.BreakGOP()
		}
		p.last = heldPicture{}
	}
	var err error
	if p.held.slices && !later {
		p.interval = dts - p.held.dts
		err = p.flush()
	}
	if len(p.held.nalus) == 0 {
		if later {
			return p.publication.Reject(errLaterSlice)
		}
		p.held = heldPicture{dts: dts, pts: pts, at: p.publication.Stream().Now()}
	}
	p.held.nalus = slices.Clip(p.held.nalus) // the publication may have them already
	for _, nalu := range nalus {
		p.held.bytes += len(nalu)
	}
	p.held.nalus = append(p.held.nalus, nalus...)
	p.held.slices = p.held.slices || any
	if p.held.bytes > maxPictureBytes || len(p.held.nalus) > maxPictureNALUs {
		p.held = heldPicture{}
		p.publication.BreakGOP()
		return p.publication.Reject(errTooLarge)
	}
	return err
}

// flush writes what is held.
func (p *pictures) flush() error {
	held := p.held
	p.held = heldPicture{}
	if len(held.nalus) == 0 {
		return nil
	}
	return p.publication.WriteVideo(held.dts, held.pts, held.nalus)
}

// flushOld writes what has been held for a frame interval.
func (p *pictures) flushOld() error {
	interval := p.interval
	if interval <= 0 {
		interval = assumedInterval
	}
	if !p.held.slices || p.publication.Stream().Now()-p.held.at < interval {
		return nil
	}
	return p.flush()
}

func hasIDR(nalus [][]byte) bool {
	return slices.ContainsFunc(nalus, func(nalu []byte) bool { return len(nalu) > 0 && nalu[0]&naluTypeMask == naluIDR })
}

// isLater reports whether a slice header is one of a later slice: first_mb_in_slice, the
// ue(v) that it begins with, is not 0 (Rec. H.264 section 7.3.3). A number that is larger
// than any picture is no sign of one.
func isLater(header []byte) bool {
	const mostZeros = 17 // in front of a number below 2^18: level 6.2 has 139,264 macroblocks
	var word uint32
	for _, b := range header[:min(len(header), 4)] {
		word = word<<8 | uint32(b)
	}
	word <<= 8 * (4 - min(len(header), 4))
	zeros := bits.LeadingZeros32(word)
	return zeros > 0 && zeros <= mostZeros
}

// slicesOf reports whether there are slices among nalus, and whether one of them is the
// first of its picture.
func slicesOf(nalus [][]byte) (first, any bool) {
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			continue
		}
		switch nalu[0] & naluTypeMask {
		case naluSlice, naluPartitionA, naluIDR:
			any = true
			first = first || !isLater(nalu[1:])
		}
	}
	return first, any
}
