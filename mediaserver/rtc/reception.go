package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

// Bounds of what a viewer can say. Otherwise one viewer could spoil the sums in the metrics.
const (
	maxEstimateBPS  = 1e11 // bits per second
	maxReportedTime = time.Minute
)

// A reception is what a viewer has said of the way to it. The loss and the jitter of each track are
// in TrackStats.
type reception struct {
	roundTrip   time.Duration
	estimateBPS float64 // the viewer's last REMB; 0: none
	highest     uint32  // highest extended sequence number of the video that has come; 0: unknown

	// These report what has come since the last observe.
	reported, timed, estimated bool
}

// estimated records a viewer's estimate of what the way to it takes (REMB,
// draft-alvestrand-rmcat-remb-03). The media are not adapted to the estimate, because a pair has one
// encoding: it is published, so that an operator sees who suffers.
func (v *Viewer) estimated(p *rtcp.ReceiverEstimatedMaximumBitrate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if bps := float64(p.Bitrate); bps > 0 { // false for NaN too
		v.reception.estimateBPS, v.reception.estimated = min(bps, maxEstimateBPS), true
	}
}

// receptionReported records a viewer's reception reports (RFC 3550 section 6.4.1).
func (v *Viewer) receptionReported(t *viewerTrack, reports []rtcp.ReceptionReport, now time.Duration) {
	for _, r := range reports {
		if r.SSRC != t.ssrc {
			continue
		}
		t.stats.FractionLost = float64(r.FractionLost) / 256
		t.stats.Jitter = min(maxReportedTime, time.Duration(r.Jitter)*time.Second/time.Duration(t.clockRate()))
		if t == v.mainTrack() {
			v.reception.reported = true
		}
		if t == v.video {
			v.lossReported(&r, now)
		}
		if r.LastSenderReport == 0 {
			continue
		}
		// Middle 32 bits of NTP time: units of 1/65536 s, wrapping.
		passed := uint32(v.output.ntp(now)>>16) - r.LastSenderReport - r.Delay
		if roundTrip := time.Duration(passed) * time.Second / (1 << 16); roundTrip <= maxReportedTime {
			v.reception.roundTrip, v.reception.timed = roundTrip, true
		}
	}
}

// mainTrack returns the track that tells best how the viewer fares.
func (v *Viewer) mainTrack() *viewerTrack {
	if v.video != nil {
		return v.video
	}
	return v.audio
}

// observe counts in the metrics what the viewer has said since the last call. It is called at
// intervals: otherwise a viewer that reports more often would count for more.
func (v *Viewer) observe() {
	r, metrics := &v.reception, v.output.cfg.Metrics
	if r.reported {
		stats := &v.mainTrack().stats
		metrics.ViewerLossRatio.Observe(stats.FractionLost)
		metrics.ViewerJitterSeconds.Observe(stats.Jitter.Seconds())
	}
	if r.timed {
		metrics.ViewerRoundTripSeconds.Observe(r.roundTrip.Seconds())
	}
	if r.estimated {
		metrics.ViewerEstimateBPS.Observe(r.estimateBPS)
	}
	r.reported, r.timed, r.estimated = false, false, false
}
