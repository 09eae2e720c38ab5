package rtmp

// A fillerFilter leaves the filler data out of a video message that comes in pieces. An
// encoder with a constant bit rate pads its pictures with filler data (Rec. H.264 section
// 7.3.2.7), and may pad a picture that is not large to many megabytes.
type fillerFilter struct {
	lengthSize int // bytes of the length in front of each NAL unit

	begun  bool
	header int    // bytes of the tag's header that are still to come
	prefix []byte // the length of the next NAL unit, as far as it has come
	left   int    // bytes of the NAL unit under way that are still to come
	skips  bool   // the NAL unit under way is filler data
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

// videoHeaderLength returns the length of what precedes the NAL units of a video message
// that begins with first: annex E.4.3.1 of the FLV specification, or Enhanced RTMP's frame
// type, packet type and fourcc, and a composition time after coded frames.
func videoHeaderLength(first byte) int {
	const enhanced, packetType, codedFrames = 0x80, 0x0f, 1
	if first&enhanced != 0 && first&packetType == codedFrames {
		return 8
	}
	return 5
}

// lengthSizeOf returns the length size that a video message with decoder configuration
// says; 0 if the message is another one. ISO/IEC 14496-15 section 5.3.3.1.
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
