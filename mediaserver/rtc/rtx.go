package rtc

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"

	"github.com/pion/webrtc/v4"
)

// mimeTypeRTX is the format of retransmissions (RFC 4588 section 8.6).
const mimeTypeRTX = "video/rtx"

// osnSize is the size of the original sequence number in a retransmission, in bytes.
const osnSize = 2

// offeredRTX returns the payload type with which packets of another payload type are sent again
// (RFC 4588 section 8.1). It is that of the first RTX format whose apt names the other. ok is false
// when there is none.
func offeredRTX(formats []webrtc.RTPCodecParameters, of webrtc.RTPCodecParameters) (payloadType webrtc.PayloadType, ok bool) {
	associated := strconv.Itoa(int(of.PayloadType))
	for _, f := range formats {
		if strings.EqualFold(f.MimeType, mimeTypeRTX) && f.ClockRate == of.ClockRate && fmtpParameters(f.SDPFmtpLine)["apt"] == associated {
			return f.PayloadType, true
		}
	}
	return 0, false
}

// An rtpStream is what was negotiated of a stream: its SSRC and its payload type.
type rtpStream struct {
	ssrc        uint32
	payloadType uint8
}

// An rtxStream is the stream of a track's retransmissions. SSRC 0: the viewer takes none.
type rtxStream struct {
	rtpStream
	sequence uint16 // of the next retransmission
}

// rtxPayloads are buffers for the payload of one retransmission each.
var rtxPayloads = sync.Pool{New: func() any { return new([]byte) }}

// writeAgain gives p to a peer again. With RTX that is a packet of the track's retransmissions. Its
// payload begins with the sequence number under which p was sent. Its timestamp and marker are p's
// (RFC 4588 section 4). Without RTX it is the very same packet.
func (w *rtpWriter) writeAgain(to peer, p *packet, sequence uint64, timestamp int64) sendResult {
	if w.rtx.ssrc == 0 {
		return w.write(to, p, sequence, timestamp)
	}
	buf := rtxPayloads.Get().(*[]byte)
	defer rtxPayloads.Put(buf)
	*buf = append(binary.BigEndian.AppendUint16((*buf)[:0], uint16(sequence)), p.payload...)
	again := packet{payload: *buf, marker: p.marker}
	result := w.writeOn(w.rtx.rtpStream, to, &again, w.rtx.sequence, timestamp)
	w.rtx.sequence++
	return result
}
