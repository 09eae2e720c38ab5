package stream

import (
	"fmt"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// This file has the properties of pictures in which players differ: what they can show, and where
// decoding can start.

const seiRecoveryPoint = 6 // Rec. H.264 section D.1

// IsRecoveryPoint reports whether a decoder can start at a picture that is no IDR. Either an SEI
// message marks the picture as a recovery point, or the picture has only intra slices and comes
// with its SPS. Broadcast encoders begin an open GOP in the second way.
func IsRecoveryPoint(nalus [][]byte) bool {
	sps, intra := false, true
	for _, nalu := range nalus {
		if len(nalu) < 2 {
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeSEI:
			if hasSEI(nalu, seiRecoveryPoint) {
				return true
			}
		case h264.NALUTypeSPS:
			sps = true
		case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA:
			intra = intra && sps && isIntra(nalu)
		}
	}
	return sps && intra
}

// isIntra reports whether a slice is an I or SI slice, Rec. H.264 table 7-6.
func isIntra(slice []byte) bool {
	var header [2]uint32 // first_mb_in_slice, slice_type
	return exponentialGolomb(slice, header[:]) == len(header) && (header[1]%5 == 2 || header[1]%5 == 4)
}

// hasSEI reports whether an SEI NAL unit has a message of the wanted type (section 7.3.2.3.1).
func hasSEI(nalu []byte, wanted int) bool {
	next := func(b []byte) (value int, rest []byte) {
		for len(b) > 0 && b[0] == 0xff {
			value, b = value+0xff, b[1:]
		}
		if len(b) == 0 {
			return value, nil
		}
		return value + int(b[0]), b[1:]
	}
	for b := nalu[1:]; len(b) > 2; {
		var payloadType, size int
		payloadType, b = next(b)
		size, b = next(b)
		if payloadType == wanted {
			return len(b) > 0
		}
		b = b[min(size, len(b)):]
	}
	return false
}

const interlaced = "interlaced"

// limitation returns a Format's Limitation. Every browser shows progressive pictures of 8 bits,
// 4:2:0. Hardware decoders show other formats black, and interlaced pictures with combs.
func limitation(sps *h264.SPS) string {
	var limits []string
	if depth := 8 + max(sps.BitDepthLumaMinus8, sps.BitDepthChromaMinus8); depth > 8 {
		limits = append(limits, fmt.Sprintf("%d-bit", depth))
	}
	// Only the SPS of these profiles has a chroma format. All other profiles are 4:2:0.
	switch sps.ProfileIdc {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if chroma := sps.ChromaFormatIdc; chroma != 1 && chroma <= 3 {
			limits = append(limits, [...]string{"monochrome", "", "4:2:2", "4:4:4"}[chroma])
		}
	}
	if !sps.FrameMbsOnlyFlag {
		limits = append(limits, interlaced)
	}
	return strings.Join(limits, " ")
}

// sampleAspects are the aspects of Rec. H.264 table E-1, by aspect_ratio_idc.
var sampleAspects = [...]float64{
	0, 1, 12.0 / 11, 10.0 / 11, 16.0 / 11, 40.0 / 33, 24.0 / 11, 20.0 / 11, 32.0 / 11,
	80.0 / 33, 18.0 / 11, 15.0 / 11, 64.0 / 33, 160.0 / 99, 4.0 / 3, 3.0 / 2, 2,
}

const (
	extendedSampleAspect = 255
	// mostSampleAspect bounds how far a picture is stretched: an SPS can say 65535.
	mostSampleAspect = 8
)

// sampleAspect returns a Format's SampleAspect.
func sampleAspect(vui *h264.SPS_VUI) float64 {
	if vui == nil || !vui.AspectRatioInfoPresentFlag {
		return 0
	}
	var aspect float64
	switch idc := int(vui.AspectRatioIdc); {
	case idc < len(sampleAspects):
		aspect = sampleAspects[idc]
	case idc == extendedSampleAspect && vui.SarWidth > 0 && vui.SarHeight > 0:
		aspect = float64(vui.SarWidth) / float64(vui.SarHeight)
	}
	if aspect > mostSampleAspect || aspect < 1.0/mostSampleAspect {
		return 0
	}
	return aspect
}
