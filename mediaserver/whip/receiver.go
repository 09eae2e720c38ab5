package whip

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtcp"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// videoWait is how long pictures are held back for a lost packet to be sent
	// again: three or four requests on most paths.
	videoWait = 250 * time.Millisecond

	// audioWait is for reordering only: audio is not asked for again, and a missing
	// packet is concealed better than 40 ms of delay.
	audioWait = 40 * time.Millisecond

	// maxRequests bounds the packets of one NACK; more than that is an outage.
	maxRequests = 256
)

// A publication is what the receiver needs of a stream.Publication.
type publication interface {
	SetVideoParameters(sets ...[]byte) error
	WriteVideo(dts, pts time.Duration, nalus [][]byte) error
	SetAudioFormat(stream.Format) error
	WriteAudio(pts time.Duration, frame []byte) error
}

// A receiver turns the RTP packets of one session into access units, and says which
// RTCP packets to send for it. It is used by one goroutine and is given the time.
type receiver struct {
	publication publication
	metrics     *metrics.Metrics
	timeline    *timeline
	ssrc        uint32 // of our RTCP packets
	// sps and pps are the parameter sets of the offer (sprop-parameter-sets), if any.
	sps, pps []byte

	videoSSRC uint32
	hasVideo  bool
	video     reorder
	assembler *assembler
	keyframes keyframes
	decoding  decodeOrder

	hasAudio bool
	audio    reorder

	dropped int // pictures counted in metrics
}

func newReceiver(p publication, m *metrics.Metrics) *receiver {
	return &receiver{
		publication: p, metrics: m, timeline: newTimeline(), ssrc: rand.Uint32(),
		video: reorder{wait: videoWait}, assembler: newAssembler(), audio: reorder{wait: audioWait},
	}
}

// packet takes one packet of a track. The error is that of the publication, and final.
func (r *receiver) packet(kind stream.Kind, ssrc uint32, p *packet) error {
	if kind == stream.Video {
		if !r.hasVideo {
			r.hasVideo, r.videoSSRC = true, ssrc
			if r.sps != nil {
				_ = r.publication.SetVideoParameters(r.sps, r.pps) // in-band ones will do
			}
		}
		r.video.push(p)
		return r.drainVideo(p.arrival)
	}
	if !r.hasAudio {
		r.hasAudio = true
		if err := r.publication.SetAudioFormat(stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}); err != nil {
			return err
		}
	}
	r.audio.push(p)
	return r.drainAudio(p.arrival)
}

// tick does what is due by time alone, and returns the RTCP packets to send.
func (r *receiver) tick(now time.Duration) ([]rtcp.Packet, error) {
	if err := r.drainVideo(now); err != nil {
		return nil, err
	}
	if err := r.drainAudio(now); err != nil {
		return nil, err
	}
	if !r.hasVideo {
		return nil, nil
	}
	var packets []rtcp.Packet
	if missing := r.video.missing(nil, now, maxRequests); len(missing) > 0 {
		packets = append(packets, &rtcp.TransportLayerNack{
			SenderSSRC: r.ssrc, MediaSSRC: r.videoSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
		})
	}
	if r.keyframes.due(now, r.assembler.needIDR) {
		packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: r.ssrc, MediaSSRC: r.videoSSRC})
	}
	return packets, nil
}

func (r *receiver) drainVideo(now time.Duration) error {
	for {
		p, gap := r.video.pop(now)
		if p == nil {
			return nil
		}
		units, _ := r.assembler.push(p, gap) // what is wrong with a picture is counted below
		for _, u := range units {
			if err := r.writeVideo(u, now); err != nil {
				return err
			}
		}
		if n := r.assembler.dropped - r.dropped; n > 0 {
			r.metrics.FramesDropped.WithLabelValues("whip").Add(float64(n))
			r.dropped = r.assembler.dropped
		}
	}
}

func (r *receiver) writeVideo(u unit, now time.Duration) error {
	pts := r.timeline.at(stream.Video, u.timestamp, now)
	if u.idr {
		r.keyframes.received(now)
	}
	err := r.publication.WriteVideo(r.decoding.dts(pts, u), pts, u.nalus)
	if isFinal(err) {
		return err
	}
	return nil // a malformed picture: the publication has counted it
}

// isFinal says whether an error of a Write method means that no other will succeed.
func isFinal(err error) bool { return errors.Is(err, stream.ErrPublicationEnded) }

func (r *receiver) drainAudio(now time.Duration) error {
	for {
		p, _ := r.audio.pop(now)
		if p == nil {
			return nil
		}
		if len(p.payload) == 0 {
			continue
		}
		pts := r.timeline.at(stream.Audio, p.timestamp, now)
		if err := r.publication.WriteAudio(pts, p.payload); isFinal(err) {
			return err
		}
	}
}

// decodeOrder makes decoding times. RTP carries presentation times only, which are
// the same but for B-frames. Those cannot be sent on as they are, but the stream must
// tell that they are there.
type decodeOrder struct {
	lastPTS, lastDTS time.Duration
	reordered        bool // since a picture was seen that is shown before an earlier one
	extractor        *h264.DTSExtractor
}

func (d *decodeOrder) dts(pts time.Duration, u unit) time.Duration {
	if pts < d.lastPTS {
		d.reordered = true
	}
	d.lastPTS = pts
	dts := pts
	if d.reordered {
		if u.idr && d.extractor == nil {
			d.extractor = &h264.DTSExtractor{}
			d.extractor.Initialize()
		}
		if d.extractor != nil {
			if extracted, err := d.extractor.Extract(u.nalus, int64(pts)); err == nil {
				dts = time.Duration(extracted)
			} else {
				d.extractor = nil // begins anew at the next IDR
			}
		}
	}
	// Strictly increasing, whatever the picture said.
	d.lastDTS = max(dts, d.lastDTS+time.Microsecond)
	return d.lastDTS
}
