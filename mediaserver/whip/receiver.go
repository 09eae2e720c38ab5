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
	SetFault(stream.Kind, *stream.Fault)
}

// A receiver turns the RTP packets of one session into access units, and says which
// RTCP packets to send for it. It is used by one goroutine and is given the time.
type receiver struct {
	publication publication
	metrics     *metrics.Metrics
	timeline    *timeline
	ssrc        uint32 // of our RTCP packets

	video    picture
	decoding decodeOrder
	sound    sound
	presence presence
	told     [2]*stream.Fault // by stream.Kind
}

func newReceiver(p publication, m *metrics.Metrics, offered tracks) *receiver {
	return &receiver{
		publication: p, metrics: m, timeline: newTimeline(), ssrc: rand.Uint32(),
		video:    picture{rids: len(offered.rids), sps: offered.sps, pps: offered.pps},
		sound:    sound{packets: reorder{wait: audioWait}},
		presence: presence{offered: offered},
	}
}

// packet takes one packet of a track. rid is the place of its RID in the offer; negative: it
// has none. The error is that of the publication, and final.
func (r *receiver) packet(kind stream.Kind, ssrc uint32, rid int, p *packet) error {
	r.presence.hear(p.arrival)
	if kind == stream.Video {
		return r.videoPacket(ssrc, rid, p)
	}
	return r.audioPacket(ssrc, p)
}

// report takes a sender report. Reports of an SSRC from which no packet came are of the
// sound if the offer says so, or if the sound alone is missing.
func (r *receiver) report(ssrc uint32, ntp uint64, timestamp uint32, now time.Duration) {
	r.presence.hear(now)
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
	if r.sound.started && r.sound.ssrc == ssrc {
		r.timeline.sent(stream.Audio, ntp, timestamp)
		r.sound.report(now)
	} else if r.presence.isSound(ssrc, !r.sound.started && len(r.video.layers) > 0) {
		r.sound.report(now)
	}
}

// tick does what is due by time alone, and returns the RTCP packets to send.
func (r *receiver) tick(now time.Duration) ([]rtcp.Packet, error) {
	if err := r.videoTick(now); err != nil {
		return nil, err
	}
	if err := r.audioTick(now); err != nil {
		return nil, err
	}
	r.tell(now)
	return r.video.feedback(r.ssrc, now), nil
}

// isFinal says whether an error of a Write method means that no other will succeed.
func isFinal(err error) bool { return errors.Is(err, stream.ErrPublicationEnded) }

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
