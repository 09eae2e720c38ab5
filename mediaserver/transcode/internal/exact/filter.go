// Package exact picks those pictures of a stream with B-frames that WebRTC decoders show exactly as
// the encoder meant them. Such a decoder shows every picture as soon as it is decoded.
//
// So a picture must not be shown before one that was decoded earlier. A picture that others refer to
// must not be left out. The header of a P picture does not say to which pictures it refers. Filter
// assumes that it refers to all reference pictures since the IDR. So Filter may show less than would
// be possible, but never a wrong picture. It decodes nothing.
//
// Start with Filter and WithoutReordering.
package exact

import "time"

// NAL unit types and slice types, Rec. H.264 tables 7-1 and 7-6.
const (
	naluSlice      = 1
	naluPartitionA = 2
	naluPartitionC = 4
	naluIDR        = 5

	sliceB = 1
)

// A Picture is what Filter needs to know of an access unit.
type Picture struct {
	// PTS says in which order pictures are shown; any clock.
	PTS time.Duration
	// NALUs are its NAL units in decoding order.
	NALUs [][]byte
}

// A Filter follows one stream in decoding order. Its zero value waits for an IDR.
type Filter struct {
	// whole says that every reference picture since the IDR was shown.
	whole bool
	// shown is the PTS of the last picture shown.
	shown time.Duration
}

// Show says whether the stream's next picture can be shown. Every picture must be
// asked for; those that are refused must be left out.
func (f *Filter) Show(p Picture) bool {
	kind := classify(p.NALUs)
	switch {
	case kind.idr && kind.valid && !kind.b:
		f.whole, f.shown = true, p.PTS
		return true
	case kind.idr: // not one that a decoder could begin with
		f.whole = false
		return false
	case !f.whole:
		return false
	case kind.valid && !kind.b && p.PTS > f.shown:
		f.shown = p.PTS
		return true
	case !kind.valid || kind.reference:
		f.whole = false // later pictures may refer to this one
	}
	return false
}

// Break says that pictures were lost: nothing can be shown until the next IDR.
func (f *Filter) Break() { f.whole = false }

// A kind is what the slice headers say of a picture.
type kind struct {
	valid     bool // all headers could be read
	idr       bool
	reference bool // other pictures may refer to it
	b         bool // it has a B slice
}

func classify(nalus [][]byte) kind {
	k := kind{valid: true}
	slices := 0
	for _, nalu := range nalus {
		if len(nalu) == 0 {
			continue
		}
		nalType := nalu[0] & 0x1f
		switch {
		case nalType == naluSlice, nalType == naluIDR:
		case nalType >= naluPartitionA && nalType <= naluPartitionC:
			// Extended profile; no decoder of WebRTC has it.
			k.valid, k.reference = false, true
			continue
		default:
			continue
		}
		slices++
		k.idr = k.idr || nalType == naluIDR
		k.reference = k.reference || nalu[0]&0x60 != 0
		// Slice header, section 7.3.3: first_mb_in_slice, slice_type. Both fit in ten
		// bytes, emulation prevention included.
		r := reader{b: unescape(nalu[1:], 10)}
		r.golomb()
		sliceType := r.golomb()
		if r.err != nil || sliceType > 9 {
			k.valid = false
		}
		k.b = k.b || sliceType%5 == sliceB
	}
	if slices == 0 {
		k.valid = false
	}
	return k
}
