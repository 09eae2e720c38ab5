package whip

import (
	"encoding/binary"
	"errors"

	"github.com/streampair/streampair/mediaserver/stream"
)

// NAL unit types of RFC 6184 table 1, and the types of H.264 that are used here.
const (
	naluTypeIDR   = 5
	naluTypeSPS   = 7
	naluTypePPS   = 8
	naluTypeAUD   = 9
	naluTypeSTAPA = 24
	naluTypeFUA   = 28
)

const (
	// recoveryAfter is how long an encoder must have sent no IDR before decoding may begin at a
	// recovery point, in ticks of the RTP clock. It is longer than the usual GOP. An encoder that
	// sends IDRs is waited for, because the first pictures after a recovery point may be damaged.
	recoveryAfter = 12 * 90000

	// maxAccessUnit bounds one picture, in bytes, and maxNALUs the NAL units in it.
	maxAccessUnit = 8 << 20
	maxNALUs      = 1024
)

var (
	errShortPayload   = errors.New("payload too short")
	errNALUType       = errors.New("NAL unit type is not of packetization-mode 1")
	errFragment       = errors.New("fragment without its beginning")
	errUnitTooLarge   = errors.New("picture too large")
	errLateSlice      = errors.New("slice after the end of its picture")
	errPictureMissing = errors.New("packets are lost")
)

// A unit is one H.264 access unit as received.
type unit struct {
	timestamp uint32
	nalus     [][]byte
	idr       bool
}

// newAssembler returns an assembler that waits for the first IDR.
func newAssembler() *assembler { return &assembler{needIDR: true} }

// An assembler makes access units from the RTP packets of one H.264 track (RFC 6184,
// packetization-mode 1). It must be given the packets in sequence.
//
// It never returns an incomplete picture, nor a picture that could refer to one. After a
// gap it drops everything before the next whole IDR. When the encoder sends no IDRs
// (intra refresh, open GOPs), it goes on at the next recovery point.
type assembler struct {
	nalus     [][]byte
	size      int
	timestamp uint32
	slices    int  // slices in nalus
	idr       bool // nalus has a slice of an IDR
	started   bool // timestamp is valid

	fragments []byte // of the incomplete NAL unit; nil if there is none

	// damaged reports whether the current picture is incomplete.
	damaged bool
	// needIDR reports whether nothing can be decoded before the next IDR, or recovery point.
	needIDR bool
	// hadIDR reports whether a whole IDR has come. lastIDR is the timestamp of the last one.
	hadIDR  bool
	lastIDR uint32
	// marked reports whether the last packet had the marker bit, which ends a picture.
	marked bool
	// unmarked reports whether the sender's marker bits can't be relied on. A picture
	// then ends where the timestamp changes.
	unmarked bool

	// dropped counts the dropped pictures.
	dropped int
}

// push takes the next packet. gap reports whether packets before it are lost. push returns the
// access units that are complete now. It is one at most, or two when the timestamp changes and the
// packet is a whole picture. An error is the reason why a picture was dropped.
func (a *assembler) push(p *packet, gap bool) (units []unit, err error) {
	if gap {
		a.drop()
		err = errPictureMissing
		// The lost packets may have had the beginning of this picture.
		a.damaged = !beginsPicture(p.payload)
		a.timestamp, a.started, a.marked = p.timestamp, true, false
	}
	switch {
	case !a.started:
		a.started = true
	case p.timestamp != a.timestamp && (a.slices > 0 || a.damaged || a.fragments != nil):
		// (Parameter sets with a timestamp of their own belong to the next picture.)
		if u, ok := a.flush(); ok {
			units = append(units, u)
		}
	case p.timestamp == a.timestamp && a.marked && !a.unmarked && hasSlice(p.payload):
		a.unmarked = true
		a.dropRest()
		err = errLateSlice
	}
	a.timestamp, a.marked = p.timestamp, p.marker
	if len(p.payload) > 0 && !a.damaged { // an empty payload is padding
		if addErr := a.add(p.payload); addErr != nil {
			a.dropRest()
			err = addErr
		}
	}
	if p.marker && !a.unmarked && (a.slices > 0 || a.damaged) {
		if u, ok := a.flush(); ok {
			units = append(units, u)
		}
	}
	return units, err
}

// flush ends the current picture. It returns the picture if viewers can decode it.
func (a *assembler) flush() (unit, bool) {
	u := unit{timestamp: a.timestamp, nalus: a.nalus, idr: a.idr}
	switch whole := !a.damaged && a.fragments == nil; {
	case !whole:
		a.needIDR = true
	case a.idr:
		a.needIDR, a.hadIDR, a.lastIDR = false, true, a.timestamp
	case a.needIDR && (!a.hadIDR || a.timestamp-a.lastIDR >= recoveryAfter) && stream.IsRecoveryPoint(a.nalus):
		a.needIDR = false
	}
	a.reset()
	if a.needIDR {
		a.dropped++
	}
	return u, !a.needIDR
}

// unfinished returns the size of the current picture so far, in bytes.
func (a *assembler) unfinished() int { return a.size + len(a.fragments) }

// dropRest drops the current picture and the rest of it that is still to come.
func (a *assembler) dropRest() {
	a.drop()
	a.damaged = true
}

// drop drops what has come of the current picture.
func (a *assembler) drop() {
	if len(a.nalus) > 0 || a.fragments != nil {
		a.dropped++
	}
	a.needIDR = true
	a.reset()
}

func (a *assembler) reset() {
	a.nalus, a.fragments, a.size, a.slices, a.idr, a.damaged = nil, nil, 0, 0, false, false
}

// add takes the NAL units out of one payload.
func (a *assembler) add(payload []byte) error {
	switch naluType := payload[0] & 0x1f; {
	case naluType >= 1 && naluType <= 23:
		return a.addNALU(payload)
	case naluType == naluTypeSTAPA:
		return a.addAggregate(payload[1:])
	case naluType == naluTypeFUA:
		return a.addFragment(payload)
	}
	return errNALUType
}

func (a *assembler) addNALU(nalu []byte) error {
	if a.fragments != nil {
		return errFragment
	}
	a.size += len(nalu)
	if a.size > maxAccessUnit || len(a.nalus) >= maxNALUs {
		return errUnitTooLarge
	}
	if isSlice(nalu[0]) {
		a.slices++
		a.idr = a.idr || nalu[0]&0x1f == naluTypeIDR
	}
	a.nalus = append(a.nalus, nalu)
	return nil
}

// addAggregate takes the NAL units out of a single-time aggregation packet, RFC 6184 section 5.7.1.
func (a *assembler) addAggregate(payload []byte) error {
	for len(payload) > 0 {
		if len(payload) < 2 {
			return errShortPayload
		}
		size := int(binary.BigEndian.Uint16(payload))
		payload = payload[2:]
		if size > len(payload) {
			return errShortPayload
		}
		if size == 0 {
			continue
		}
		if err := a.addNALU(payload[:size:size]); err != nil {
			return err
		}
		payload = payload[size:]
	}
	return nil
}

// addFragment adds a fragment of a NAL unit, RFC 6184 section 5.8.
func (a *assembler) addFragment(payload []byte) error {
	const startBit, endBit = 0x80, 0x40
	if len(payload) < 3 {
		return errShortPayload
	}
	indicator, header := payload[0], payload[1]
	if header&startBit != 0 {
		if a.fragments != nil {
			return errFragment
		}
		a.fragments = make([]byte, 0, 8*len(payload))
		a.fragments = append(a.fragments, indicator&0xe0|header&0x1f)
	} else if a.fragments == nil {
		return errFragment
	}
	if a.size+len(a.fragments)+len(payload) > maxAccessUnit {
		return errUnitTooLarge
	}
	a.fragments = append(a.fragments, payload[2:]...)
	if header&endBit == 0 {
		return nil
	}
	nalu := a.fragments
	a.fragments = nil
	return a.addNALU(nalu)
}

// beginsPicture reports whether a picture begins with the payload: an access unit
// delimiter or an SPS.
func beginsPicture(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	header := payload[0]
	if header&0x1f == naluTypeSTAPA && len(payload) > 3 {
		header = payload[3]
	}
	naluType := header & 0x1f
	return naluType == naluTypeAUD || naluType == naluTypeSPS
}

// hasSlice reports whether the payload holds a slice, or part of one.
func hasSlice(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	switch payload[0] & 0x1f {
	case naluTypeFUA:
		return len(payload) > 1 && isSlice(payload[1])
	case naluTypeSTAPA:
		for rest := payload[1:]; len(rest) > 2; {
			size := int(binary.BigEndian.Uint16(rest))
			if isSlice(rest[2]) {
				return true
			}
			if 2+size >= len(rest) {
				return false
			}
			rest = rest[2+size:]
		}
		return false
	}
	return isSlice(payload[0])
}

// isSlice reports whether the NAL unit with that header byte is a slice.
func isSlice(header byte) bool {
	naluType := header & 0x1f
	return naluType >= 1 && naluType <= naluTypeIDR
}
