package rtc

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// readFeedback handles the RTCP that a viewer sends about t until it is gone.
func (v *Viewer) readFeedback(t *viewerTrack, from *webrtc.RTPSender) {
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := from.Read(buf)
		if err != nil {
			return
		}
		v.path.reported(time.Now()) // pion has checked that it is the viewer's
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			v.feedback(t, p)
		}
	}
}

// feedback handles one RTCP packet. One that concerns both tracks comes to both.
func (v *Viewer) feedback(t *viewerTrack, p rtcp.Packet) {
	now := v.output.cfg.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.connected || v.closed || t.writer == nil {
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
		v.received(t, p.Reports, now)
	case *rtcp.SenderReport:
		v.received(t, p.Reports, now)
	}
}

// resend answers a NACK (RFC 4585 section 6.2.1) from the history. Asking for what is
// not there counts too: looking for it holds up the fanout, and so the other viewers.
func (v *Viewer) resend(t *viewerTrack, pairs []rtcp.NackPair, now time.Duration) {
	v.nacks.fill(now)
	for _, pair := range pairs {
		if v.nacks.level <= 0 {
			v.drop("nack_limit")
			return
		}
		pair.Range(func(number uint16) bool {
			t.nacked++
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
			size := len(p.payload) + rtpHeaderSize
			v.nacks.level -= float64(size)
			v.output.cfg.Egress.live(size, now)
			if t.write(&p, sequence, timestamp) == sent {
				t.resent++
				t.packets++ // RFC 3550 section 6.4.1 counts what was transmitted
				t.octets += uint64(len(p.payload))
				v.output.cfg.Metrics.PacketsResent.Inc()
			}
			return true
		})
	}
}

// pictureLost handles PLI and FIR. The source is asked for an IDR if it can be;
// else the pictures since the last one are sent again, under new sequence numbers
// and with new timestamps, and the viewer's decoder is whole again without waiting
// for a GOP to end.
func (v *Viewer) pictureLost(t *viewerTrack, now time.Duration) {
	v.plis++
	if t.waiting || v.output.cfg.RequestIDR() {
		return
	}
	if now > t.nextReplay+replayGrace {
		t.replayHoldoff = replayHoldoff
	}
	if now < t.nextReplay || t.packets == 0 {
		return
	}
	t.replay = true
	t.nextReplay = now + t.replayHoldoff
	t.replayHoldoff = min(2*t.replayHoldoff, maxReplayHoldoff)
}

// received takes note of a viewer's reception reports (RFC 3550 section 6.4.1).
func (v *Viewer) received(t *viewerTrack, reports []rtcp.ReceptionReport, now time.Duration) {
	for _, r := range reports {
		if r.SSRC != t.ssrc {
			continue
		}
		t.fractionLost, t.jitter = r.FractionLost, r.Jitter
		if r.LastSenderReport == 0 {
			continue
		}
		// Middle 32 bits of NTP time: units of 1/65536 s, wrapping.
		passed := uint32(v.output.ntp(now)>>16) - r.LastSenderReport - r.Delay
		if passed < 1<<31 {
			v.roundTrip = time.Duration(passed) * time.Second / (1 << 16)
		}
	}
}

// report sends sender reports that tie both tracks' RTP clocks to the media clock,
// not to the time of sending: that is what keeps lips in step however the source
// interleaves. The common CNAME makes the tracks one group (RFC 3550 section 6.5.1).
func (v *Viewer) report(now time.Duration) {
	ntp := v.output.ntp(now)
	var compound []rtcp.Packet
	names := &rtcp.SourceDescription{}
	for _, t := range []*viewerTrack{v.video, v.audio} {
		if t == nil || t.writer == nil || t.packets == 0 {
			continue
		}
		rate := int64(videoClockRate)
		if t == v.audio {
			rate = audioClockRate
		}
		compound = append(compound, &rtcp.SenderReport{
			SSRC:        t.ssrc,
			NTPTime:     ntp,
			RTPTime:     t.base + uint32(ticks(now, rate)),
			PacketCount: uint32(t.packets),
			OctetCount:  uint32(t.octets),
		})
		names.Chunks = append(names.Chunks, rtcp.SourceDescriptionChunk{
			Source: t.ssrc,
			Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: mediaStreamID}},
		})
	}
	if len(compound) == 0 {
		return
	}
	if err := v.pc.WriteRTCP(append(compound, names)); err != nil {
		v.log.Debug("sender report", "error", err)
	}
}

// ntp is the NTP timestamp (RFC 5905 section 6) of a time on the media clock. It
// is monotonic even where the wall clock is set.
func (o *Output) ntp(now time.Duration) uint64 {
	const secondsFrom1900To1970 = 2_208_988_800
	wall := o.ntpZero.Add(now)
	fraction := uint64(wall.Nanosecond()) << 32 / uint64(time.Second)
	return uint64(wall.Unix()+secondsFrom1900To1970)<<32 | fraction
}
