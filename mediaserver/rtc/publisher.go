package rtc

import (
	"io"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
)

const (
	// maxStreams bounds the RTP streams of one publisher, by SSRC, and the SSRCs that its RTCP
	// names. Sound and a picture in many layers are fewer than 20. Without the bound a
	// publisher could make the server keep a buffer for each of 2^32 SSRCs.
	maxStreams = 48

	// rtpBuffer is how much of one stream may wait to be read, in bytes. It fills when the
	// machine has no processor time left. The first fullBuffers streams have that much. Later
	// streams have laterRTPBuffer, because possibly nobody reads them.
	rtpBuffer      = 1000 * 1000
	laterRTPBuffer = 64 * 1000
	fullBuffers    = 8

	// rtcpBuffer is how much RTCP about one SSRC may wait to be read, in bytes.
	rtcpBuffer = 16 * 1000

	// handshakeInterval is the time after which a DTLS message is first sent again; pion doubles
	// it each time. A publisher that is the DTLS server, such as FFmpeg 8, may not listen for DTLS
	// yet when the server's first message comes. pion's default of 1 s would then delay the start.
	handshakeInterval = 100 * time.Millisecond
)

// PublisherConfig configures a publisher's PeerConnection.
type PublisherConfig struct {
	// OnSenderReport is called for each sender report (RFC 3550 section 6.4.1), even
	// when no RTP has come from its SSRC yet. It must not block.
	OnSenderReport func(*rtcp.SenderReport)
	// OnTooManyStreams is called once, on its own goroutine, when the publisher sends
	// more than maxStreams streams, which no encoder does. The streams above are
	// dropped; the connection should be closed.
	OnTooManyStreams func()
}

// NewPublisherConnection makes a PeerConnection for a publisher. It negotiates the codecs of me
// and passes packets through the interceptors of ir. The caller must close it.
func (e *Engine) NewPublisherConnection(me *webrtc.MediaEngine, ir *interceptor.Registry, cfg PublisherConfig) (*webrtc.PeerConnection, error) {
	settings := e.settings
	settings.BufferFactory = (&streamBuffers{cfg: cfg}).open
	settings.SetDTLSRetransmissionInterval(handshakeInterval)
	return e.newPeerConnection(settings, me, ir)
}

// streamBuffers makes the buffers of a publisher's streams.
type streamBuffers struct {
	cfg PublisherConfig

	mu        sync.Mutex // guards the rest
	rtp, rtcp int        // numbers of streams
	tooMany   bool
}

// open returns the buffer of one stream. pion calls it for each SSRC, whether the
// offer names it or not.
func (s *streamBuffers) open(packets packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, limit := &s.rtp, rtpBuffer
	if packets == packetio.RTCPBufferPacket {
		count, limit = &s.rtcp, rtcpBuffer
	} else if s.rtp >= fullBuffers {
		limit = laterRTPBuffer
	}
	*count++
	buffer := packetio.NewBuffer()
	if *count > maxStreams {
		if !s.tooMany {
			s.tooMany = true
			go s.cfg.OnTooManyStreams()
		}
		_ = buffer.Close() // all that is written to it is dropped
		return buffer
	}
	buffer.SetLimitSize(limit)
	if packets == packetio.RTCPBufferPacket {
		return &reportTap{Buffer: buffer, ssrc: ssrc, report: s.cfg.OnSenderReport}
	}
	return buffer
}

// A reportTap is a buffer for the RTCP about one SSRC. It passes on the sender reports, because
// pion itself passes on RTCP only for streams from which RTP has come.
type reportTap struct {
	*packetio.Buffer
	ssrc   uint32
	report func(*rtcp.SenderReport)
}

// Write takes one compound packet, which pion has checked.
func (t *reportTap) Write(compound []byte) (int, error) {
	if packets, err := rtcp.Unmarshal(compound); err == nil {
		for _, p := range packets {
			// A packet comes to the buffer of each SSRC that it names.
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == t.ssrc {
				t.report(sr)
			}
		}
	}
	return t.Buffer.Write(compound)
}
