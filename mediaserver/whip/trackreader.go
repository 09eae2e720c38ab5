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

// maxPacket is the largest RTP packet that is read, in bytes; rtc.Engine takes none that is
// larger.
const maxPacket = 1600

var errTooManyStreams = errors.New("the publisher sends more RTP streams than any encoder does")

// A trackPacket is an RTP packet on its way from the track that it came by to the session's
// goroutine.
type trackPacket struct {
	kind   stream.Kind
	ssrc   uint32
	rid    int // place of its RID in the offer, or noRID
	packet *packet
}

// noRID is where a packet names no layer of the offer.
const noRID = -1

// A sentReport is what a sender report says of one SSRC.
type sentReport struct {
	ssrc      uint32
	ntp       uint64
	timestamp uint32
}

// onTrack reads the packets of one SSRC. pion calls it on a goroutine for each.
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
	s.readers.Add(2)
	s.mu.Unlock()
	go func() {
		defer s.readers.Done()
		s.safely(func() { drainReports(rtpReceiver) })
	}()
	defer s.readers.Done()
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
			// It may stay in the GOP cache for long: without the rest of the buffer.
			payload: bytes.Clone(received.Payload), arrival: s.handler.cfg.Registry.Now(),
		}
		select {
		case s.tracks <- trackPacket{kind, received.SSRC, s.ridOf(&received.Header), p}:
		case <-s.ctx.Done():
			return
		}
	}
}

// ridOf returns the place in the offer of the layer that a packet names.
func (s *session) ridOf(header *rtp.Header) int {
	if s.offered.ridExtension == 0 || len(s.offered.rids) == 0 {
		return noRID
	}
	rid := header.GetExtension(s.offered.ridExtension)
	return slices.IndexFunc(s.offered.rids, func(offered string) bool { return offered == string(rid) })
}

// drainReports lets the interceptors have the RTCP of one SSRC.
func drainReports(rtpReceiver *webrtc.RTPReceiver) {
	buffer := make([]byte, maxPacket)
	for {
		if _, _, err := rtpReceiver.Read(buffer); err != nil {
			return
		}
	}
}

// onTooManyStreams is called on a goroutine of its own.
func (s *session) onTooManyStreams() {
	s.safely(func() {
		s.handler.cfg.Metrics.PublishRefusals.WithLabelValues("whip", "TooManyRTPStreams").Inc()
		s.end(stream.EndError, errTooManyStreams)
	})
}

// onSenderReport is called by pion, and does not wait: another report follows.
func (s *session) onSenderReport(sr *rtcp.SenderReport) {
	select {
	case s.reports <- sentReport{sr.SSRC, sr.NTPTime, sr.RTPTime}:
	default:
	}
}
