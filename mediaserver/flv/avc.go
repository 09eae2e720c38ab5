package flv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// An AVCConfig is an AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1.
type AVCConfig struct {
	// SPS and PPS are the parameter sets, without start codes or lengths.
	SPS, PPS [][]byte
	// LengthSize is the size of the length before each NAL unit: 1 to 4 bytes. Append
	// writes zero as 4.
	LengthSize int
}

var errShortConfig = errors.New("flv: AVC decoder configuration is too short")

// ParseAVCConfig parses an AVCDecoderConfigurationRecord. The parameter sets point into b.
func ParseAVCConfig(b []byte) (AVCConfig, error) {
	if len(b) < 6 {
		return AVCConfig{}, errShortConfig
	}
	if b[0] != 1 {
		return AVCConfig{}, fmt.Errorf("flv: AVC decoder configuration has version %d", b[0])
	}
	c := AVCConfig{LengthSize: int(b[4]&0x03) + 1}
	sps := int(b[5] & 0x1f)
	b = b[6:]
	var err error
	if c.SPS, b, err = parameterSets(b, sps); err != nil {
		return AVCConfig{}, err
	}
	if len(b) < 1 {
		return AVCConfig{}, errShortConfig
	}
	// For High profile more may follow the PPS (chroma format, bit depths). It is in
	// the SPS too, so it is not read.
	if c.PPS, _, err = parameterSets(b[1:], int(b[0])); err != nil {
		return AVCConfig{}, err
	}
	if len(c.SPS) == 0 || len(c.PPS) == 0 {
		return AVCConfig{}, errors.New("flv: AVC decoder configuration without parameter sets")
	}
	return c, nil
}

// parameterSets reads n NAL units with 16-bit lengths. It leaves out empty ones.
func parameterSets(b []byte, n int) (sets [][]byte, rest []byte, err error) {
	for range n {
		if len(b) < 2 {
			return nil, nil, errShortConfig
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < size {
			return nil, nil, errShortConfig
		}
		if size > 0 {
			sets = append(sets, b[:size:size])
		}
		b = b[size:]
	}
	return sets, b, nil
}

// Append appends the record to b.
func (c AVCConfig) Append(b []byte) ([]byte, error) {
	if len(c.SPS) == 0 || len(c.SPS) > 31 || len(c.PPS) == 0 || len(c.PPS) > 255 || len(c.SPS[0]) < 4 {
		return b, errors.New("flv: AVC decoder configuration needs an SPS and a PPS")
	}
	lengthSize := c.LengthSize
	if lengthSize == 0 {
		lengthSize = 4
	}
	sps := c.SPS[0]
	// Bytes 1 to 3 of the SPS are profile, compatibility and level. Reserved bits are 1.
	b = append(b, 1, sps[1], sps[2], sps[3], 0xfc|byte(lengthSize-1), 0xe0|byte(len(c.SPS)))
	for i, sets := range [2][][]byte{c.SPS, c.PPS} {
		if i == 1 {
			b = append(b, byte(len(sets)))
		}
		for _, set := range sets {
			if len(set) > math.MaxUint16 {
				return b, errors.New("flv: parameter set is too long")
			}
			b = binary.BigEndian.AppendUint16(b, uint16(len(set)))
			b = append(b, set...)
		}
	}
	switch sps[1] {
	case 66, 77, 88: // Baseline, Main and Extended: nothing follows
		return b, nil
	}
	// chroma_format 4:2:0, both bit depths 8, and no SPS extensions. WebRTC and this
	// server can play nothing else.
	return append(b, 0xfc|1, 0xf8, 0xf8, 0), nil
}

// maxNALUs bounds the NAL units of one access unit. A picture has at most a few hundred
// slices (ISO/IEC 14496-10 table A-1). A 4 MB message could hold 800,000 NAL units of
// one byte, whose slice headers take five times as much memory.
const maxNALUs = 1024

// SplitAVCC returns the NAL units of an access unit in which a length of lengthSize
// bytes precedes each. They point into b. Empty ones are left out. FLV asks for
// lengths, but some encoders write start codes; these are accepted too.
func SplitAVCC(b []byte, lengthSize int) ([][]byte, error) {
	nalus, err := splitLengths(b, lengthSize)
	if err != nil && hasStartCode(b) {
		return SplitAnnexB(b)
	}
	return nalus, err
}

func splitLengths(b []byte, lengthSize int) ([][]byte, error) {
	if lengthSize < 1 || lengthSize > 4 {
		return nil, fmt.Errorf("flv: NAL unit lengths of %d bytes", lengthSize)
	}
	var nalus [][]byte
	for len(b) > 0 {
		if len(b) < lengthSize {
			return nil, errors.New("flv: access unit ends within a length")
		}
		var size uint64
		for _, v := range b[:lengthSize] {
			size = size<<8 | uint64(v)
		}
		if b = b[lengthSize:]; size > uint64(len(b)) {
			return nil, fmt.Errorf("flv: NAL unit of %d bytes, but %d are left", size, len(b))
		}
		if size > 0 {
			if len(nalus) == maxNALUs {
				return nil, errTooManyNALUs
			}
			nalus = append(nalus, b[:size:size])
		}
		b = b[size:]
	}
	return nalus, nil
}

var errTooManyNALUs = fmt.Errorf("flv: more than %d NAL units in an access unit", maxNALUs)

var startCode = []byte{0, 0, 1}

func hasStartCode(b []byte) bool {
	return bytes.HasPrefix(b, startCode) || bytes.HasPrefix(b, []byte{0, 0, 0, 1})
}

// SplitAnnexB returns the NAL units of a byte stream with start codes, ISO/IEC 14496-10
// annex B. They point into b.
func SplitAnnexB(b []byte) ([][]byte, error) {
	start := bytes.Index(b, startCode)
	if start < 0 {
		return nil, errors.New("flv: no start code")
	}
	var nalus [][]byte
	b = b[start+len(startCode):]
	for len(b) > 0 {
		end := bytes.Index(b, startCode)
		next := end + len(startCode)
		if end < 0 {
			end, next = len(b), len(b)
		}
		// Zeros before a start code do not belong to a NAL unit.
		if nalu := bytes.TrimRight(b[:end], "\x00"); len(nalu) > 0 {
			if len(nalus) == maxNALUs {
				return nil, errTooManyNALUs
			}
			nalus = append(nalus, nalu[:len(nalu):len(nalu)])
		}
		b = b[next:]
	}
	return nalus, nil
}

// AppendAVCC appends the NAL units, each after its length in four bytes.
func AppendAVCC(b []byte, nalus [][]byte) []byte {
	for _, nalu := range nalus {
		b = binary.BigEndian.AppendUint32(b, uint32(len(nalu)))
		b = append(b, nalu...)
	}
	return b
}
