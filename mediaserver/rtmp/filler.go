package rtmp

// A fillerFilter removes filler data from a video message that comes in pieces. An
// encoder with a constant bit rate pads its pictures with filler data (Rec. H.264
// section 7.3.2.7). It may pad a small picture to many megabytes.
type fillerFilter struct {
	lengthSize int // size of the length before each NAL unit, in bytes

	begun  bool
	header int    // bytes of the tag's header that are still to come
	prefix []byte // the part of the next NAL unit's length that has come
	left   int    // bytes of the current NAL unit that are still to come
	skips  bool   // the current NAL unit is filler data
}

const (
	naluTypeMask   = 0x1f
	naluTypeFiller = 12
)

// append appends the bytes of b that are not filler data to the message.
func (f *fillerFilter) append(message, b []byte) []byte {
	for len(b) > 0 {
		switch {
		case !f.begun:
			f.begun, f.header = true, videoHeaderLength(b[0])
		case f.header > 0:
			n := min(f.header, len(b))
			message, b = append(message, b[:n]...), b[n:]
			f.header -= n
		case f.left > 0:
			n := min(f.left, len(b))
			if !f.skips {
				message = append(message, b[:n]...)
			}
			b = b[n:]
			f.left -= n
		case len(f.prefix) < f.lengthSize:
			f.prefix, b = append(f.prefix, b[0]), b[1:]
		default:
			for _, v := range f.prefix {
				f.left = f.left<<8 | int(v)
			}
			if f.skips = b[0]&naluTypeMask == naluTypeFiller; !f.skips {
				message = append(message, f.prefix...)
			}
			f.prefix = f.prefix[:0]
		}
	}
	return message
}

// videoHeaderLength returns how many bytes precede the NAL units of a video message whose first
// byte is first. That header is defined in annex E.4.3.1 of the FLV specification. In Enhanced
// RTMP it is frame type, packet type and fourcc, and with coded frames a composition time.
func videoHeaderLength(first byte) int {
	const enhanced, packetType, codedFrames = 0x80, 0x0f, 1
	if first&enhanced != 0 && first&packetType == codedFrames {
		return 8
	}
	return 5
}

// lengthSizeOf returns the length size that a decoder configuration gives (ISO/IEC 14496-15
// section 5.3.3.1). It returns 0 for a video message without one.
func lengthSizeOf(video []byte) int {
	const header, lengthSizeMinusOne = 5, 4
	if len(video) <= header+lengthSizeMinusOne {
		return 0
	}
	classic := video[0]&0x8f == 7 && video[1] == 0
	enhanced := video[0]&0x8f == 0x80 && string(video[1:header]) == "avc1"
	if !classic && !enhanced {
		return 0
	}
	return int(video[header+lengthSizeMinusOne]&3) + 1
}
