package stream

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// maxParameterSet bounds an SPS or PPS, in bytes. Real ones are below 200.
const maxParameterSet = 4 << 10

// How many parameter sets a stream may use at a time (Rec. H.264 allows 32 and 256).
// Encoders use one of each, few of them two or three.
const (
	maxSPS = 8
	maxPPS = 16

	maxSPSID = 31
	maxPPSID = 255
)

// Frame rates that an SPS declares are believed within these bounds.
const (
	minFrameRate = 0.1
	maxFrameRate = 1000
)

// maxReordering is how far ahead of its successors a picture is decoded at most, where
// only presentation times are known: 16 frames (max_num_reorder_frames, annex E.2.1) of
// 16 a second.
const maxReordering = time.Second

// maxPresentationDelay is how far apart a picture's times may be: 16 frames at less than
// two a second. FLV can say hours, and a pair that had sent such a picture would keep its
// clock there.
const maxPresentationDelay = 10 * time.Second

// parameterSets follows the parameter sets of a publication, by id, and makes Formats of
// them. In force are those that the slices of the last IDR name. A change takes effect with
// the next IDR, Rec. H.264 section 7.4.1.2.1.
type parameterSets struct {
	sps     []sequenceParameters // the newest last
	pps     []pictureParameters
	named   int  // id of the PPS that the picture names which decoding started with last; -1: none that is known
	changed bool // since apply

	inForce *Format

	lastDTS, lastPTS time.Duration
	// reordered says that a picture was seen whose presentation comes before that of
	// one decoded earlier; it holds for the rest of the publication.
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
	// stale says that the SPS has been replaced since: the next PPS of the SPS replaces
	// all that are stale.
	stale bool
}

// set takes the SPS and PPS out of nalus.
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
	if len(ps.sps) == maxSPS {
		ps.sps = slices.Delete(ps.sps, 0, 1)
	}
	// Cloned here and below, or the whole access unit would be kept with it.
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
	ids := exponentialGolomb(nalu, 2)
	if len(ids) == 0 || ids[0] > maxPPSID {
		return
	}
	set := pictureParameters{id: int(ids[0])}
	if len(ids) > 1 && ids[1] <= maxSPSID {
		set.sps = int(ids[1])
	}
	ps.pps = slices.DeleteFunc(ps.pps, func(known pictureParameters) bool { return known.stale && known.sps == set.sps })
	i := slices.IndexFunc(ps.pps, func(known pictureParameters) bool { return known.id == set.id })
	switch {
	case i < 0 && len(ps.pps) < maxPPS:
		i = len(ps.pps)
		ps.pps = append(ps.pps, set)
	case i < 0 || bytes.Equal(ps.pps[i].nalu, nalu):
		return
	}
	set.nalu = bytes.Clone(nalu)
	ps.pps[i], ps.changed = set, true
}

// observe notes the times of pictures in decoding order.
func (ps *parameterSets) observe(dts, pts time.Duration, idr bool) {
	back, decodedLater := ps.lastPTS-pts, dts > ps.lastDTS
	ps.lastDTS = dts
	// A publisher whose clock jumps back has no B-frames for it.
	if idr || back <= 0 || (back >= maxReordering && !decodedLater) {
		ps.lastPTS = pts
		return
	}
	if ps.reordered {
		return
	}
	ps.reordered = true
	// Known at once, not only from the next IDR on. Other changes do have to wait.
	if ps.inForce != nil && !ps.inForce.Reordered {
		f := *ps.inForce
		f.Reordered = true
		ps.inForce = &f
	}
}

// apply puts the parameter sets in force that the slices of a picture name, with which
// decoding can start. Without a picture, or with one that names none that is known, those
// are the first PPS and its SPS.
func (ps *parameterSets) apply(picture [][]byte) {
	if named := ps.namedBy(picture); named != ps.named {
		ps.named, ps.changed = named, true
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
		return // what changed is of no picture
	}
	ps.inForce = f
}

// namedBy returns the id of the PPS that the first slice of a picture names; -1: none that
// is known.
func (ps *parameterSets) namedBy(picture [][]byte) int {
	for _, nalu := range picture {
		if t := h264.NALUType(nalu[0] & 0x1f); t != h264.NALUTypeIDR && t != h264.NALUTypeNonIDR {
			continue
		}
		// Section 7.3.3: first_mb_in_slice, slice_type, pic_parameter_set_id.
		header := exponentialGolomb(nalu, 3)
		if len(header) == 3 && slices.ContainsFunc(ps.pps, func(known pictureParameters) bool { return known.id == int(header[2]) }) {
			return int(header[2])
		}
		break
	}
	return -1
}

// current returns the PPS in force, and the SPS that it refers to; false if there is none.
func (ps *parameterSets) current() (sps sequenceParameters, pps pictureParameters, ok bool) {
	if len(ps.sps) == 0 || len(ps.pps) == 0 {
		return sps, pps, false
	}
	pps = ps.pps[max(0, slices.IndexFunc(ps.pps, func(known pictureParameters) bool { return known.id == ps.named }))]
	i := slices.IndexFunc(ps.sps, func(known sequenceParameters) bool { return int(known.parsed.ID) == pps.sps })
	if i < 0 {
		i = len(ps.sps) - 1
	}
	return ps.sps[i], pps, true
}

// format makes a Format of the parameter sets; nil if there are none.
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
	// One that declares a picture a day would count as live for three days.
	if fps := sps.parsed.FPS(); fps >= minFrameRate && fps <= maxFrameRate {
		f.FrameRate = fps
	}
	f.Limitation, f.SampleAspect = limitation(&sps.parsed), sampleAspect(sps.parsed.VUI)
	if vui := sps.parsed.VUI; vui != nil && vui.BitstreamRestriction != nil && vui.BitstreamRestriction.MaxNumReorderFrames > 0 {
		f.Reordered = true
	}
	return f
}

// furtherPPS returns the picture parameter sets of the SPS in force beside the one in the
// Format: they travel in band, ahead of the IDR.
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

// exponentialGolomb reads the first n unsigned numbers, ue(v), of a NAL unit (Rec. H.264
// section 9.1). It returns fewer where the NAL unit ends before.
func exponentialGolomb(nalu []byte, n int) []uint32 {
	const longest = 16 // bytes of three numbers as they are found in practice, with emulation prevention
	payload := h264.EmulationPreventionRemove(nalu[1:min(len(nalu), 1+longest)])
	var numbers []uint32
	for pos := 0; len(numbers) < n; {
		number, err := bits.ReadGolombUnsigned(payload, &pos)
		if err != nil {
			break
		}
		numbers = append(numbers, number)
	}
	return numbers
}

// picture returns the NAL units that viewers need: slices and SEI. Parameter sets
// travel in the Format; delimiters, filler data and extensions are left out. Without a
// slice it returns none, and whether the NAL units are of kinds that may come alone.
func picture(nalus [][]byte) (kept [][]byte, idr, harmless bool) {
	n := 0
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			// Filler and ends of sequence have no payload.
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
