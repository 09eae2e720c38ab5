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
const maxPPS = 16

// parameterSets follows the parameter sets of a publication and makes Formats of them.
// A change takes effect with the next IDR, Rec. H.264 section 7.4.1.2.1.
type parameterSets struct {
	sps     []byte
	parsed  h264.SPS
	pps     [][]byte // the first is part of the Format
	changed bool     // since apply

	inForce *Format

	lastPTS time.Duration
	// reordered says that a picture was seen whose presentation comes before that of
	// one decoded earlier; it holds for the rest of the publication.
	reordered, newlyReordered bool
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
			ps.sps, ps.parsed, ps.changed = nalu, parsed, true
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
	i := slices.IndexFunc(ps.pps, func(known []byte) bool { return ppsID(known) == id })
	switch {
	case i < 0 && len(ps.pps) < maxPPS:
		ps.pps = append(slices.Clip(ps.pps), nalu)
	case i < 0 || bytes.Equal(ps.pps[i], nalu):
		return
	default:
		ps.pps = slices.Clone(ps.pps)
		ps.pps[i] = nalu
	}
	ps.changed = true
}

// observe notes the presentation times of pictures in decoding order.
func (ps *parameterSets) observe(pts time.Duration, idr bool) {
	ps.newlyReordered = false
	if idr {
		ps.lastPTS = pts
		return
	}
	// A publisher whose clock jumps back has no B-frames for it.
	if !ps.reordered && pts < ps.lastPTS && ps.lastPTS-pts < time.Second {
		ps.reordered, ps.newlyReordered, ps.changed = true, true, true
	}
	ps.lastPTS = max(ps.lastPTS, pts)
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
	if fps := ps.parsed.FPS(); fps > 0 && fps <= 1000 {
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
// travel in the Format; delimiters, filler data and extensions are left out.
func picture(nalus [][]byte) (kept [][]byte, idr bool) {
	slices := 0
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeIDR:
			idr = true
			slices++
		case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeDataPartitionB, h264.NALUTypeDataPartitionC:
			slices++
		case h264.NALUTypeSEI:
		default:
			continue
		}
		kept = append(kept, nalu)
	}
	if slices == 0 {
		return nil, false
	}
	return kept, idr
}
