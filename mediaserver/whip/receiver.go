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
	// videoWait is how long pictures are held back until a lost packet is sent again.
	// On most paths that is enough for three or four requests.
	videoWait = 250 * time.Millisecond

	// audioWait is for reordering only. Lost sound is not asked for again. To conceal a
	// missing packet is better than a delay of more than 40 ms.
	audioWait = 40 * time.Millisecond

	// maxRequests bounds the packets of one NACK. If more are missing, the network had an outage.
	maxRequests = 256
)

// A publication is what the receiver needs of a stream.Publication.
type publication interface {
	SetVideoParameters(sets ...[]byte) error
	WriteVideo(dts, pts time.Duration, nalus [][]byte) error
	SetAudioFormat(stream.Format) error
	WriteAudio(pts time.Duration, frame []byte) error
	SetFault(stream.Kind, *stream.Fault)
}

// A receiver turns the RTP packets of one session into access units, and returns the RTCP
// packets to send back. One goroutine uses it. The caller passes the time.
type receiver struct {
	publication publication
	metrics     *metrics.Metrics
	timeline    *timeline
	ssrc        uint32 // sender SSRC of our RTCP packets

	video       videoTrack
	decoding    decodeOrder
	audio       audioTrack
	arrivals    arrivals
	shownFaults [2]*stream.Fault // by stream.Kind
}

func newReceiver(p publication, m *metrics.Metrics, offered tracks) *receiver {
	return &receiver{
		publication: p, metrics: m, timeline: newTimeline(), ssrc: rand.Uint32(),
		video:    videoTrack{rids: len(offered.rids), sps: offered.sps, pps: offered.pps},
		audio:    audioTrack{packets: reorder{wait: audioWait}},
		arrivals: arrivals{offered: offered},
	}
}

// packet takes one packet of a track. rid is the index of the packet's RID in the offer; it is
// negative for a packet without a RID. An error comes from the publication and is final.
func (r *receiver) packet(kind stream.Kind, ssrc uint32, rid int, p *packet) error {
	r.arrivals.received(p.arrival)
	if kind == stream.Video {
		return r.videoPacket(ssrc, rid, p)
	}
	return r.audioPacket(ssrc, p)
}

// report takes a sender report. A report about an SSRC without packets belongs to the
// sound if the offer says so, or if only the sound has no packets.
func (r *receiver) report(ssrc uint32, ntp uint64, timestamp uint32, now time.Duration) {
	r.arrivals.received(now)
	for _, l := range r.video.layers {
		if l.ssrc != ssrc {
			continue
		}
		if l == r.video.current {
			r.timeline.sent(stream.Video, ntp, timestamp)
		} else {
			l.report = &senderReport{ntp: ntp, timestamp: timestamp}
		}
		return
	}
	if r.audio.started && r.audio.ssrc == ssrc {
		r.timeline.sent(stream.Audio, ntp, timestamp)
		r.audio.report(now)
	} else if r.arrivals.isSound(ssrc, !r.audio.started && len(r.video.layers) > 0) {
		r.audio.report(now)
	}
}

// tick does the work that is due by time alone. It returns the RTCP packets to send.
func (r *receiver) tick(now time.Duration) ([]rtcp.Packet, error) {
	if err := r.videoTick(now); err != nil {
		return nil, err
	}
	if err := r.audioTick(now); err != nil {
		return nil, err
	}
	r.updateFaults(now)
	return r.video.feedback(r.ssrc, now), nil
}

// isFinal reports whether all later calls of Write methods will fail too.
func isFinal(err error) bool { return errors.Is(err, stream.ErrPublicationEnded) }

// decodeOrder makes decoding times. RTP carries presentation times only, which differ
// from decoding times only with B-frames. B-frames can't be sent on as they are, but
// the stream must know that they are there.
type decodeOrder struct {
	lastPTS, lastDTS time.Duration
	reordered        bool // a picture has come that is shown before an earlier one
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
				d.extractor = nil // begins again at the next IDR
			}
		}
	}
	// Decoding times strictly increase, whatever the picture said.
	d.lastDTS = max(dts, d.lastDTS+time.Microsecond)
	return d.lastDTS
}
