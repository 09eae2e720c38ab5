package stream

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// maxParameterSet bounds an SPS or PPS, in bytes. Real ones have less than 200 bytes.
const maxParameterSet = 4 << 10

// maxPPSBytes bounds all PPS of a stream together, in bytes.
const maxPPSBytes = 64 << 10

// The greatest ids that Rec. H.264 allows, section 7.4.2. Most encoders use one SPS and one PPS.
// Some encoders use each id in turn.
const (
	maxSPSID = 31
	maxPPSID = 255
)

// A frame rate that an SPS declares is ignored outside these bounds.
const (
	minFrameRate = 0.1
	maxFrameRate = 1000
)

// maxReordering bounds how far ahead of its successors a picture is decoded. The bound is for input
// with presentation times only: 16 frames (max_num_reorder_frames, annex E.2.1) at 16 a second.
const maxReordering = time.Second

// oftenBackwards is how often times must go back within a GOP to count as reordering, if the
// publisher may or may not have decoding times.
const oftenBackwards = 3

// maxPresentationDelay bounds the distance of a picture's DTS and PTS: 16 frames at less than two
// frames a second. An FLV tag can claim hours. A pair that had sent such a picture would keep its
// clock there.
const maxPresentationDelay = 10 * time.Second

// parameterSets tracks the parameter sets of a publication by id, and makes Formats of them. The
// sets that the slices of the last IDR name are in force. A change takes effect with the next IDR,
// Rec. H.264 section 7.4.1.2.1.
type parameterSets struct {
	sps      []sequenceParameters // the newest last
	pps      []pictureParameters
	namedPPS int  // id of the PPS that the last picture where decoding can start names; -1: unknown
	changed  bool // since the last apply

	inForce *Format

	lastDTS, lastPTS time.Duration
	// presentationOnly reports whether the publisher gives no decoding times.
	presentationOnly bool
	// backwards counts the pictures since the IDR that have both times before their predecessor's
	// times.
	backwards int
	// reordered reports whether a picture was seen that is presented before a picture decoded
	// earlier. It stays set for the rest of the publication.
	reordered bool
}

type sequenceParameters struct {
	nalu   []byte
	parsed h264.SPS
}

type pictureParameters struct {
	nalu []byte
	id   int
	sps  int // id of the SPS that the PPS refers to
	// stale reports whether the SPS has been replaced since. The next PPS of that SPS replaces all
	// stale ones.
	stale bool
}

// set takes the SPS and PPS among nalus.
func (ps *parameterSets) set(nalus [][]byte) error {
	for _, nalu := range nalus {
		if len(nalu) == 0 {
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeSPS:
			if err := ps.setSPS(nalu); err != nil {
				return err
			}
		case h264.NALUTypePPS:
			ps.setPPS(nalu)
		}
	}
	return nil
}

func (ps *parameterSets) setSPS(nalu []byte) error {
	if slices.ContainsFunc(ps.sps, func(known sequenceParameters) bool { return bytes.Equal(known.nalu, nalu) }) {
		return nil
	}
	var parsed h264.SPS
	if len(nalu) > maxParameterSet {
		return errMalformedSPS
	}
	if err := parsed.Unmarshal(nalu); err != nil {
		return fmt.Errorf("%w: %w", errMalformedSPS, err)
	}
	if parsed.Width() <= 0 || parsed.Height() <= 0 || parsed.Width() > 16384 || parsed.Height() > 16384 || parsed.ID > maxSPSID {
		return errMalformedSPS
	}
	ps.sps = slices.DeleteFunc(ps.sps, func(known sequenceParameters) bool { return known.parsed.ID == parsed.ID })
	// Cloned here and below: otherwise the parameter set would keep the whole access unit in
	// memory.
	ps.sps, ps.changed = append(ps.sps, sequenceParameters{bytes.Clone(nalu), parsed}), true
	for i := range ps.pps {
		ps.pps[i].stale = ps.pps[i].stale || ps.pps[i].sps == int(parsed.ID)
	}
	return nil
}

func (ps *parameterSets) setPPS(nalu []byte) {
	if len(nalu) < 2 || len(nalu) > maxParameterSet {
		return
	}
	var ids [2]uint32 // pic_parameter_set_id, seq_parameter_set_id
	n := exponentialGolomb(nalu, ids[:])
	if n == 0 || ids[0] > maxPPSID {
		return
	}
	set := pictureParameters{id: int(ids[0])}
	if n == len(ids) && ids[1] <= maxSPSID {
		set.sps = int(ids[1])
	}
	ps.pps = slices.DeleteFunc(ps.pps, func(known pictureParameters) bool { return known.stale && known.sps == set.sps })
	i := slices.IndexFunc(ps.pps, func(known pictureParameters) bool { return known.id == set.id })
	switch {
	case i < 0:
		i = len(ps.pps)
		ps.pps = append(ps.pps, set)
	case bytes.Equal(ps.pps[i].nalu, nalu):
		return
	}
	set.nalu = bytes.Clone(nalu)
	ps.pps[i], ps.changed = set, true
	for ps.ppsBytes() > maxPPSBytes {
		ps.pps = slices.Delete(ps.pps, 0, 1)
	}
}

func (ps *parameterSets) ppsBytes() int {
	sum := 0
	for _, set := range ps.pps {
		sum += len(set.nalu)
	}
	return sum
}

// observe notes the times of a picture. Pictures come in decoding order.
func (ps *parameterSets) observe(dts, pts time.Duration, idr bool) {
	back, decodedLater := ps.lastPTS-pts, dts > ps.lastDTS
	ps.lastDTS = dts
	if idr {
		ps.backwards = 0
	}
	if back > 0 && !decodedLater {
		ps.backwards++
	}
	// A clock that jumps back is no sign of B-frames. Over a relay, the publisher's clock is the
	// peer's media clock, to which times are mapped anew now and then. With B-frames, times go back
	// again and again.
	jumped := !decodedLater && (back >= maxReordering || !ps.presentationOnly && ps.backwards < oftenBackwards)
	if idr || back <= 0 || jumped {
		ps.lastPTS = pts
		return
	}
	if ps.reordered {
		return
	}
	ps.reordered = true
	// Reordering applies at once, not only from the next IDR on. Other changes have to wait.
	if ps.inForce != nil && !ps.inForce.Reordered {
		f := *ps.inForce
		f.Reordered = true
		ps.inForce = &f
	}
}

// apply puts the parameter sets in force that a picture names by the id of a PPS. Decoding can
// start at that picture. For -1, the first PPS and its SPS are put in force.
func (ps *parameterSets) apply(pps int) {
	if pps != ps.namedPPS {
		ps.namedPPS, ps.changed = pps, true
	}
	if !ps.changed {
		return
	}
	f := ps.format()
	if f == nil {
		return
	}
	ps.changed = false
	if was := ps.inForce; was != nil && was.Reordered == f.Reordered && bytes.Equal(was.SPS, f.SPS) && bytes.Equal(was.PPS, f.PPS) {
		return // what changed belongs to no picture
	}
	ps.inForce = f
}

// hasPPS reports whether a PPS with that id has come.
func (ps *parameterSets) hasPPS(id int) bool {
	return slices.ContainsFunc(ps.pps, func(known pictureParameters) bool { return known.id == id })
}

// namedBy returns the id of the PPS that the first slice of a picture names; -1: the slice cannot
// be read.
func namedBy(picture [][]byte) int {
	for _, nalu := range picture {
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeIDR, h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA:
		default:
			continue
		}
		var header [3]uint32 // section 7.3.3: first_mb_in_slice, slice_type, pic_parameter_set_id
		if exponentialGolomb(nalu, header[:]) < len(header) || header[2] > maxPPSID {
			break
		}
		return int(header[2])
	}
	return -1
}

// current returns the PPS in force and the SPS that it refers to. ok is false if there is none.
func (ps *parameterSets) current() (sps sequenceParameters, pps pictureParameters, ok bool) {
	if len(ps.sps) == 0 || len(ps.pps) == 0 {
		return sps, pps, false
	}
	pps = ps.pps[max(0, slices.IndexFunc(ps.pps, func(known pictureParameters) bool { return known.id == ps.namedPPS }))]
	i := slices.IndexFunc(ps.sps, func(known sequenceParameters) bool { return int(known.parsed.ID) == pps.sps })
	if i < 0 {
		i = len(ps.sps) - 1
	}
	return ps.sps[i], pps, true
}

// format makes a Format from the parameter sets in force; nil: there are none.
func (ps *parameterSets) format() *Format {
	sps, pps, ok := ps.current()
	if !ok {
		return nil
	}
	f := &Format{
		Codec: H264, SPS: sps.nalu, PPS: pps.nalu,
		Width: sps.parsed.Width(), Height: sps.parsed.Height(),
		Reordered: ps.reordered,
	}
	// A stream that declares one picture a day would count as live for three days.
	if fps := sps.parsed.FPS(); fps >= minFrameRate && fps <= maxFrameRate {
		f.FrameRate = fps
	}
	f.Limitation, f.SampleAspect = limitation(&sps.parsed), sampleAspect(sps.parsed.VUI)
	if vui := sps.parsed.VUI; vui != nil && vui.BitstreamRestriction != nil && vui.BitstreamRestriction.MaxNumReorderFrames > 0 {
		f.Reordered = true
	}
	return f
}

// furtherPPS returns the other PPS of the SPS in force. Only one PPS is in the Format. The others
// travel in band, ahead of the IDR.
func (ps *parameterSets) furtherPPS() [][]byte {
	_, inForce, _ := ps.current()
	var further [][]byte
	for _, set := range ps.pps {
		if set.id != inForce.id && set.sps == inForce.sps {
			further = append(further, set.nalu)
		}
	}
	return further
}

// exponentialGolomb reads unsigned numbers, ue(v), from the beginning of a NAL unit (Rec. H.264
// section 9.1). It returns how many of numbers it has read. These are fewer if the NAL unit is too
// short.
func exponentialGolomb(nalu []byte, numbers []uint32) int {
	const longest = 16 // bytes that hold three numbers in practice, with emulation prevention
	payload := nalu[1:min(len(nalu), 1+longest)]
	if bytes.Contains(payload, []byte{0, 0, 3}) {
		payload = h264.EmulationPreventionRemove(payload)
	}
	pos := 0
	for i := range numbers {
		number, err := bits.ReadGolombUnsigned(payload, &pos)
		if err != nil {
			return i
		}
		numbers[i] = number
	}
	return len(numbers)
}

// picture returns the NAL units that viewers need: slices and SEI. Parameter sets travel in the
// Format. Delimiters, filler data and extensions are left out. If there is no slice, picture
// returns no NAL units, and harmless reports whether the kinds of NAL units may come alone.
func picture(nalus [][]byte) (kept [][]byte, idr, harmless bool) {
	n := 0
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			// Filler data and ends of sequence have no payload.
			harmless = harmless || len(nalu) == 1 && nalu[0]&0x1f >= byte(h264.NALUTypeSEI)
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeIDR:
			idr = true
			n++
		case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeDataPartitionB, h264.NALUTypeDataPartitionC:
			n++
		case h264.NALUTypeSEI:
			harmless = true
		case h264.NALUTypeSPS, h264.NALUTypePPS, h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeEndOfSequence,
			h264.NALUTypeEndOfStream, h264.NALUTypeFillerData, h264.NALUTypeSPSExtension:
			harmless = true
			continue
		default:
			continue
		}
		kept = append(kept, nalu)
	}
	if n == 0 {
		return nil, false, harmless
	}
	return kept, idr, true
}
