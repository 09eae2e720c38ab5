package whip

import (
	"bytes"
	"errors"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/stream"
)

// maxPacket is the largest RTP packet that is read, in bytes. rtc.Engine accepts none
// that is larger.
const maxPacket = 1600

var errTooManyStreams = errors.New("the publisher sends more RTP streams than any encoder does")

// A trackPacket is an RTP packet on its way from its track's reader to the session's goroutine.
type trackPacket struct {
	kind   stream.Kind
	ssrc   uint32
	rid    int // index of the packet's RID in the offer, or noRID
	packet *packet
}

// noRID is the rid of a packet that names no layer of the offer.
const noRID = -1

// A sentReport is the part of a sender report that is about one SSRC.
type sentReport struct {
	ssrc      uint32
	ntp       uint64
	timestamp uint32
}

// onTrack reads the packets of one SSRC. pion calls it on a goroutine for each SSRC.
func (s *session) onTrack(track *webrtc.TrackRemote, rtpReceiver *webrtc.RTPReceiver) {
	kind := stream.Video
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		kind = stream.Audio
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.incoming.readers.Add(2)
	s.mu.Unlock()
	go func() {
		defer s.incoming.readers.Done()
		s.safely(func() { drainReports(rtpReceiver) })
	}()
	defer s.incoming.readers.Done()
	s.safely(func() { s.readPackets(kind, track) })
}

func (s *session) readPackets(kind stream.Kind, track *webrtc.TrackRemote) {
	buffer := make([]byte, maxPacket)
	var received rtp.Packet
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			return
		}
		if received.Unmarshal(buffer[:n]) != nil {
			continue
		}
		p := &packet{
			seq: received.SequenceNumber, timestamp: received.Timestamp, marker: received.Marker,
			// The payload may stay in the stream's cache for long, so it is copied out
			// of the buffer.
			payload: bytes.Clone(received.Payload), arrival: s.handler.cfg.Registry.Now(),
		}
		select {
		case s.incoming.packets <- trackPacket{kind, received.SSRC, s.ridOf(&received.Header), p}:
		case <-s.ctx.Done():
			return
		}
	}
}

// ridOf returns the index in the offer of the layer that a packet names, or noRID.
func (s *session) ridOf(header *rtp.Header) int {
	if s.incoming.offered.ridExtension == 0 || len(s.incoming.offered.rids) == 0 {
		return noRID
	}
	rid := header.GetExtension(s.incoming.offered.ridExtension)
	return slices.IndexFunc(s.incoming.offered.rids, func(offered string) bool { return offered == string(rid) })
}

// drainReports reads the RTCP of one SSRC, so that the interceptors see it.
func drainReports(rtpReceiver *webrtc.RTPReceiver) {
	buffer := make([]byte, maxPacket)
	for {
		if _, _, err := rtpReceiver.Read(buffer); err != nil {
			return
		}
	}
}

// onTooManyStreams is called on its own goroutine.
func (s *session) onTooManyStreams() {
	s.safely(func() {
		s.handler.countRefusal("TooManyRTPStreams")
		s.end(stream.EndError, errTooManyStreams)
	})
}

// onSenderReport is called by pion. It does not wait, because another report follows.
func (s *session) onSenderReport(sr *rtcp.SenderReport) {
	select {
	case s.incoming.reports <- sentReport{sr.SSRC, sr.NTPTime, sr.RTPTime}:
	default:
	}
}
