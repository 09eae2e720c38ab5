package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

// feedback handles one compound RTCP packet of the viewer.
func (v *Viewer) feedback(packets []rtcp.Packet) {
	for _, p := range packets {
		if p, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
			v.estimated(p)
			continue
		}
		for _, t := range v.tracks() {
			v.feedbackOn(t, p)
		}
	}
}

// feedbackOn handles what one RTCP packet says of t.
func (v *Viewer) feedbackOn(t *viewerTrack, p rtcp.Packet) {
	now := v.output.cfg.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isConnected || v.closed {
		return
	}
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		if p.MediaSSRC == t.ssrc {
			v.resend(t, p.Nacks, now)
		}
	case *rtcp.PictureLossIndication:
		if p.MediaSSRC == t.ssrc {
			v.pictureLost(t, now)
		}
	case *rtcp.FullIntraRequest:
		for _, e := range p.FIR {
			if e.SSRC == t.ssrc {
				v.pictureLost(t, now)
				break
			}
		}
	case *rtcp.ReceiverReport:
		v.receptionReported(t, p.Reports, now)
	case *rtcp.SenderReport:
		v.receptionReported(t, p.Reports, now)
	}
}

// resend answers a NACK (RFC 4585 section 6.2.1) from the history, by RTX if the viewer takes that.
// A request in vain is counted too, because it holds up the fanout and so other viewers.
func (v *Viewer) resend(t *viewerTrack, pairs []rtcp.NackPair, now time.Duration) {
	defer func() {
		for range v.peer.Flush() {
			v.drop("write_error")
		}
	}()
	v.nacks.fill(now)
	for _, pair := range pairs {
		if v.nacks.level <= 0 {
			v.drop("nack_limit")
			return
		}
		pair.Range(func(number uint16) bool {
			t.stats.Nacked++
			if !t.resends.allow(number, now, v.reception.roundTrip) {
				v.nacks.level -= rtpHeaderSize
				v.drop("nack_repeated")
				return true
			}
			p, sequence, timestamp, ok := t.find(number)
			if !ok {
				v.nacks.level -= rtpHeaderSize
				v.drop("nack_too_old")
				return true
			}
			if v.nacks.level <= 0 {
				v.drop("nack_limit")
				return false
			}
			size := len(p.payload) + osnSize + rtpHeaderSize
			v.nacks.level -= float64(size)
			v.output.cfg.Egress.live(size, now)
			if t.writeAgain(v.peer, &p, sequence, timestamp) == sent {
				t.stats.Resent++
				if t.rtx.ssrc == 0 { // RFC 3550 section 6.4.1 counts what was transmitted in the stream
					t.stats.Packets++
					t.stats.Bytes += uint64(len(p.payload))
				}
				v.output.cfg.Metrics.PacketsResent.Inc()
			}
			return true
		})
	}
}

// pictureLost handles PLI and FIR. The source is asked for an IDR if possible. Otherwise the
// pictures since the last IDR are sent again, with new sequence numbers and timestamps. So
// the viewer's decoder recovers without waiting for the end of a GOP.
func (v *Viewer) pictureLost(t *viewerTrack, now time.Duration) {
	v.plis++
	if t.waiting || v.output.cfg.RequestIDR() {
		return
	}
	if t.stats.Packets > 0 && t.replays.allow(now) {
		t.replay = true
	}
}

// A replayLimit bounds how often pictures are sent again to one viewer. Each replay doubles the
// time to the next, up to maxReplayHoldoff, because more packets do not help a path that is
// overloaded. The time starts again at replayHoldoff after replayGrace without a PLI.
type replayLimit struct{ next, holdoff time.Duration }

const (
	replayHoldoff    = 2 * time.Second
	maxReplayHoldoff = 30 * time.Second
	replayGrace      = time.Minute
)

// allow reports whether a replay may begin at now, and counts it.
func (l *replayLimit) allow(now time.Duration) bool {
	if l.holdoff == 0 || now > l.next+replayGrace {
		l.holdoff = replayHoldoff
	}
	if now < l.next {
		return false
	}
	l.next, l.holdoff = now+l.holdoff, min(2*l.holdoff, maxReplayHoldoff)
	return true
}

// report sends sender reports that tie both tracks' RTP clocks to the media clock. The time
// of sending has no part in it, so lips stay in step however the source interleaves. The
// common CNAME makes the tracks one group (RFC 3550 section 6.5.1).
func (v *Viewer) report(now time.Duration) {
	ntp := v.output.ntp(now)
	var compound []rtcp.Packet
	names := &rtcp.SourceDescription{}
	for _, t := range []*viewerTrack{v.video, v.audio} {
		if t == nil || t.stats.Packets == 0 {
			continue
		}
		compound = append(compound, &rtcp.SenderReport{
			SSRC:        t.ssrc,
			NTPTime:     ntp,
			RTPTime:     t.base + uint32(ticks(now, t.clockRate())),
			PacketCount: uint32(t.stats.Packets),
			OctetCount:  uint32(t.stats.Bytes),
		})
		names.Chunks = append(names.Chunks, rtcp.SourceDescriptionChunk{
			Source: t.ssrc,
			Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: mediaStreamID}},
		})
	}
	if len(compound) == 0 {
		return
	}
	if err := v.peer.WriteRTCP(append(compound, names)); err != nil {
		v.log.Debug("sender report", "error", err)
	}
}

// ntp returns the NTP timestamp (RFC 5905 section 6) of a time on the media clock. It
// is monotonic even when the wall clock is set.
func (o *Output) ntp(now time.Duration) uint64 {
	const secondsFrom1900To1970 = 2_208_988_800
	wall := o.ntpZero.Add(now)
	fraction := uint64(wall.Nanosecond()) << 32 / uint64(time.Second)
	return uint64(wall.Unix()+secondsFrom1900To1970)<<32 | fraction
}
