package exact

import (
	"errors"
	"fmt"
)

// maxRefFrames is the largest max_num_ref_frames there is (section A.3.1).
const maxRefFrames = 16

// WithoutReordering returns the SPS with a VUI by which pictures leave the decoder as they enter it:
// max_num_reorder_frames is 0, and the decoded picture buffer is only as large as the reference
// pictures need. Such a decoder shows each picture at once.
//
// An SPS that cannot be parsed to its end is an error. Syntax: Rec. H.264 sections 7.3.2.1.1 and
// E.1.1.
func WithoutReordering(sps []byte) ([]byte, error) {
	raw := unescape(sps, len(sps))
	r := &reader{b: raw}
	refFrames, err := skipToVUI(r)
	if err != nil {
		return nil, fmt.Errorf("SPS: %w", err)
	}
	w := &writer{}
	w.copy(raw, 0, r.pos)
	w.bits(1, 1) // vui_parameters_present_flag
	if !r.flag() {
		// No aspect ratio, overscan, signal type, chroma location, timing, HRD of either
		// kind, pic_struct.
		w.bits(0, 8)
		appendRestriction(w, restriction{overBoundaries: true, bytesDenom: 2, bitsDenom: 1, horizontal: 15, vertical: 15}, refFrames)
	} else {
		from := r.pos
		skipVUI(r)
		w.copy(raw, from, r.pos)
		appendRestriction(w, readRestriction(r), refFrames)
	}
	if r.err != nil {
		return nil, fmt.Errorf("SPS: %w", r.err)
	}
	w.bits(1, 1) // rbsp_stop_one_bit; the rest of the byte is zero
	return escape(w.b), nil
}

// skipToVUI reads up to vui_parameters_present_flag and returns max_num_ref_frames.
func skipToVUI(r *reader) (refFrames uint32, err error) {
	if r.bits(8)&0x1f != 7 {
		return 0, errors.New("not an SPS")
	}
	profile := r.bits(8)
	r.bits(16) // constraint flags, level_idc
	r.golomb() // seq_parameter_set_id
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		skipChroma(r)
	}
	r.golomb() // log2_max_frame_num_minus4
	switch r.golomb() {
	case 0:
		r.golomb() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.bits(1)  // delta_pic_order_always_zero_flag
		r.golomb() // offset_for_non_ref_pic
		r.golomb() // offset_for_top_to_bottom_field
		n := r.golomb()
		if n > 255 {
			return 0, errors.New("num_ref_frames_in_pic_order_cnt_cycle is out of range")
		}
		for range n {
			r.golomb() // offset_for_ref_frame
		}
	case 2:
	default:
		return 0, errors.New("pic_order_cnt_type is out of range")
	}
	refFrames = r.golomb()
	r.bits(1)  // gaps_in_frame_num_value_allowed_flag
	r.golomb() // pic_width_in_mbs_minus1
	r.golomb() // pic_height_in_map_units_minus1
	if !r.flag() {
		r.bits(1) // mb_adaptive_frame_field_flag
	}
	r.bits(1) // direct_8x8_inference_flag
	if r.flag() {
		for range 4 {
			r.golomb() // frame_crop offsets
		}
	}
	if r.err == nil && refFrames > maxRefFrames {
		return 0, errors.New("max_num_ref_frames is out of range")
	}
	return refFrames, r.err
}

// skipChroma skips what the High profiles have in their SPS.
func skipChroma(r *reader) {
	chromaFormat := r.golomb()
	if chromaFormat == 3 {
		r.bits(1) // separate_colour_plane_flag
	}
	r.golomb() // bit_depth_luma_minus8
	r.golomb() // bit_depth_chroma_minus8
	r.bits(1)  // qpprime_y_zero_transform_bypass_flag
	if !r.flag() {
		return
	}
	lists := 8
	if chromaFormat == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		skipScalingList(r, size)
	}
}

// skipScalingList follows section 7.3.2.1.1.1: a list may end early.
func skipScalingList(r *reader, size int) {
	last, next := int32(8), int32(8)
	for range size {
		if next != 0 {
			next = (last + r.signed() + 256) % 256
		}
		if next != 0 {
			last = next
		}
		if r.err != nil {
			return
		}
	}
}

// skipVUI reads up to bitstream_restriction_flag.
func skipVUI(r *reader) {
	if r.flag() { // aspect_ratio_info_present_flag
		if r.bits(8) == 255 { // Extended_SAR
			r.bits(32)
		}
	}
	if r.flag() { // overscan_info_present_flag
		r.bits(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.bits(4)
		if r.flag() {
			r.bits(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.golomb()
		r.golomb()
	}
	if r.flag() { // timing_info_present_flag
		r.bits(32)
		r.bits(32)
		r.bits(1)
	}
	nal := r.flag()
	if nal {
		skipHRD(r)
	}
	vcl := r.flag()
	if vcl {
		skipHRD(r)
	}
	if nal || vcl {
		r.bits(1) // low_delay_hrd_flag
	}
	r.bits(1) // pic_struct_present_flag
}

// skipHRD follows section E.1.2.
func skipHRD(r *reader) {
	n := r.golomb()
	if n > 31 {
		r.err = errors.New("cpb_cnt_minus1 is out of range")
		return
	}
	r.bits(8)
	for range n + 1 {
		r.golomb()
		r.golomb()
		r.bits(1)
	}
	r.bits(20)
}

// A restriction is what bitstream_restriction says beside the sizes of the decoded
// picture buffer.
type restriction struct {
	overBoundaries        bool
	bytesDenom, bitsDenom uint32
	horizontal, vertical  uint32
}

// readRestriction reads from bitstream_restriction_flag on. Without one the values are
// those that section E.2.1 infers.
func readRestriction(r *reader) restriction {
	if !r.flag() {
		return restriction{true, 2, 1, 15, 15}
	}
	v := restriction{r.flag(), r.golomb(), r.golomb(), r.golomb(), r.golomb()}
	r.golomb() // max_num_reorder_frames
	r.golomb() // max_dec_frame_buffering
	return v
}

func appendRestriction(w *writer, v restriction, refFrames uint32) {
	w.bits(1, 1) // bitstream_restriction_flag
	if v.overBoundaries {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
	w.golomb(v.bytesDenom)
	w.golomb(v.bitsDenom)
	w.golomb(v.horizontal)
	w.golomb(v.vertical)
	w.golomb(0)         // max_num_reorder_frames
	w.golomb(refFrames) // max_dec_frame_buffering; not below max_num_ref_frames
}
