package stream

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// maxParameterSet bounds an SPS or PPS, in bytes. Real ones are below 200.
const maxParameterSet = 4 << 10

// maxPPS bounds how many picture parameter sets a stream may use at a time (Rec.
// H.264 allows 256; encoders use one, few of them two or three).
const (
	maxPPS   = 16
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

// parameterSets follows the parameter sets of a publication and makes Formats of them.
// A change takes effect with the next IDR, Rec. H.264 section 7.4.1.2.1.
type parameterSets struct {
	sps     []byte
	parsed  h264.SPS
	pps     [][]byte // the first is part of the Format
	stale   bool     // the PPS belong to an SPS before: the next PPS replaces them all
	changed bool     // since apply

	inForce *Format

	lastDTS, lastPTS time.Duration
	// reordered says that a picture was seen whose presentation comes before that of
	// one decoded earlier; it holds for the rest of the publication.
	reordered bool
}

// set takes the SPS and PPS out of nalus.
func (ps *parameterSets) set(nalus [][]byte) error {
	for _, nalu := range nalus {
		if len(nalu) == 0 {
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeSPS:
			if bytes.Equal(nalu, ps.sps) {
				continue
			}
			var parsed h264.SPS
			if len(nalu) > maxParameterSet {
				return errMalformedSPS
			}
			if err := parsed.Unmarshal(nalu); err != nil {
				return fmt.Errorf("%w: %w", errMalformedSPS, err)
			}
			if parsed.Width() <= 0 || parsed.Height() <= 0 || parsed.Width() > 16384 || parsed.Height() > 16384 {
				return errMalformedSPS
			}
			// Cloned here and below, or the whole access unit would be kept with it.
			ps.sps, ps.parsed, ps.changed = bytes.Clone(nalu), parsed, true
			ps.stale = len(ps.pps) > 0
		case h264.NALUTypePPS:
			ps.setPPS(nalu)
		}
	}
	return nil
}

func (ps *parameterSets) setPPS(nalu []byte) {
	if len(nalu) < 2 || len(nalu) > maxParameterSet {
		return
	}
	id := ppsID(nalu)
	if id < 0 || id > maxPPSID {
		return
	}
	if ps.stale {
		ps.pps, ps.stale = nil, false
	}
	i := slices.IndexFunc(ps.pps, func(known []byte) bool { return ppsID(known) == id })
	switch {
	case i < 0 && len(ps.pps) < maxPPS:
		ps.pps = append(slices.Clip(ps.pps), bytes.Clone(nalu))
	case i < 0 || bytes.Equal(ps.pps[i], nalu):
		return
	default:
		ps.pps = slices.Clone(ps.pps)
		ps.pps[i] = bytes.Clone(nalu)
	}
	ps.changed = true
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

// apply puts the newest parameter sets in force.
func (ps *parameterSets) apply() {
	if !ps.changed {
		return
	}
	if f := ps.format(); f != nil {
		ps.inForce, ps.changed = f, false
	}
}

// format makes a Format of the newest parameter sets; nil if there are none.
func (ps *parameterSets) format() *Format {
	if ps.sps == nil || len(ps.pps) == 0 {
		return nil
	}
	f := &Format{
		Codec: H264, SPS: ps.sps, PPS: ps.pps[0],
		Width: ps.parsed.Width(), Height: ps.parsed.Height(),
		Reordered: ps.reordered,
	}
	// One that declares a picture a day would count as live for three days.
	if fps := ps.parsed.FPS(); fps >= minFrameRate && fps <= maxFrameRate {
		f.FrameRate = fps
	}
	if vui := ps.parsed.VUI; vui != nil && vui.BitstreamRestriction != nil && vui.BitstreamRestriction.MaxNumReorderFrames > 0 {
		f.Reordered = true
	}
	return f
}

// furtherPPS returns the picture parameter sets beside the one in the Format: they
// travel in band, ahead of the IDR.
func (ps *parameterSets) furtherPPS() [][]byte {
	if len(ps.pps) < 2 {
		return nil
	}
	return slices.Clone(ps.pps[1:])
}

// ppsID reads pic_parameter_set_id, the ue(v) at the start of a PPS (section 7.3.2.2).
func ppsID(nalu []byte) int {
	var word uint32
	for _, b := range nalu[1:min(len(nalu), 5)] {
		word = word<<8 | uint32(b)
	}
	word <<= 8 * (4 - min(len(nalu)-1, 4))
	zeros := 0
	for zeros < 16 && word&(1<<31) == 0 {
		word <<= 1
		zeros++
	}
	return int(word>>(31-zeros)) - 1
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
