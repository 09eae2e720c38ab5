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
	// maxStreams bounds the RTP streams of one publisher, by their SSRCs, and those that its
	// RTCP is about. Sound and a picture in many layers are fewer than 20. Without a bound a
	// publisher could make the server keep a buffer for each of 2^32.
	maxStreams = 48

	// rtpBuffer is how much of one stream waits to be read, in bytes. It fills when the
	// machine is starved. fullBuffers streams have that much; later ones have less, for
	// nobody may be reading them.
	rtpBuffer      = 1000 * 1000
	laterRTPBuffer = 64 * 1000
	fullBuffers    = 8

	// rtcpBuffer is the same of RTCP.
	rtcpBuffer = 16 * 1000

	// handshakeInterval is after what time a DTLS message is sent again at first; pion doubles
	// it each time. A publisher that is the DTLS server may not listen for DTLS yet when the
	// server's first message comes, as FFmpeg 8 does not, and pion's default is 1 s.
	handshakeInterval = 100 * time.Millisecond
)

// PublisherConfig configures a publisher's PeerConnection.
type PublisherConfig struct {
	// OnSenderReport is called for each sender report (RFC 3550 section 6.4.1), also of an SSRC
	// from which no RTP came yet. It must not block.
	OnSenderReport func(*rtcp.SenderReport)
	// OnTooManyStreams is called once, on a goroutine of its own, when the publisher sends more
	// streams than any encoder does. Those beyond are dropped; the connection should be closed.
	OnTooManyStreams func()
}

// NewPublisherConnection makes a PeerConnection for somebody who sends. It negotiates the
// codecs of me and passes packets through the interceptors of ir. The caller must close it.
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
	rtp, rtcp int        // streams
	tooMany   bool
}

// open returns the buffer of one stream. pion calls it for each SSRC, named in the offer
// or not.
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
		_ = buffer.Close() // nothing goes in any more
		return buffer
	}
	buffer.SetLimitSize(limit)
	if packets == packetio.RTCPBufferPacket {
		return &reportTap{Buffer: buffer, ssrc: ssrc, report: s.cfg.OnSenderReport}
	}
	return buffer
}

// A reportTap is a buffer for the RTCP of one SSRC that shows the sender reports. pion shows
// RTCP only of streams that RTP came of.
type reportTap struct {
	*packetio.Buffer
	ssrc   uint32
	report func(*rtcp.SenderReport)
}

// Write takes one compound packet, which pion has checked.
func (t *reportTap) Write(compound []byte) (int, error) {
	if packets, err := rtcp.Unmarshal(compound); err == nil {
		for _, p := range packets {
			// Packets come to each SSRC that they are about.
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == t.ssrc {
				t.report(sr)
			}
		}
	}
	return t.Buffer.Write(compound)
}
