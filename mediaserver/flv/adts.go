package flv

// An ADTS header (ISO/IEC 13818-7 section 6.2) has seven bytes, and two bytes of CRC
// if protection_absent is 0.
const (
	adtsHeader   = 7
	adtsCRC      = 2
	adtsSyncWord = 0xfff
)

// SplitADTS returns the raw AAC frames of a body of whole ADTS frames, without their headers. It
// also returns the AudioSpecificConfig that the first header stands for. FLV asks for raw frames,
// but some encoders send ADTS. The frames point into b. ok is false if b is not ADTS. A raw frame
// can't be mistaken for ADTS, because a raw frame that begins with the syncword would be empty.
func SplitADTS(b []byte) (frames [][]byte, config []byte, ok bool) {
	for len(b) > 0 {
		if len(b) < adtsHeader {
			return nil, nil, false
		}
		r := bitReader{b: b}
		sync, id, layer, noCRC := r.bits(12), r.bits(1), r.bits(2), r.bits(1)
		profile, rate := r.bits(2), r.bits(4)
		r.bits(1) // private_bit
		channels := r.bits(3)
		r.bits(4) // original_copy, home and two copyright bits
		length := int(r.bits(13))
		r.bits(11) // adts_buffer_fullness
		blocks := r.bits(2) + 1
		_ = id // MPEG-4 or MPEG-2, whose frames are the same
		header := adtsHeader
		if noCRC == 0 {
			header += adtsCRC
		}
		if sync != adtsSyncWord || layer != 0 || blocks != 1 || int(rate) >= len(aacSampleRates) || length <= header || length > len(b) {
			return nil, nil, false
		}
		if config == nil {
			objectType := byte(profile + 1)
			config = []byte{objectType<<3 | byte(rate>>1), byte(rate)<<7 | byte(channels)<<3}
		}
		frames = append(frames, b[header:length:length])
		b = b[length:]
	}
	return frames, config, len(frames) > 0
}
