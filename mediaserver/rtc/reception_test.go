package rtc

import (
	"math"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// seen returns how many observations a histogram has, and their sum.
func seen(t *testing.T, h prometheus.Histogram) (count uint64, sum float64) {
	t.Helper()
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum()
}

func TestWhatAViewerSaysIsObservedOnceASecond(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(1, true, 100)
	v, _ := b.viewer()
	b.serve(v)
	remb := &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 3_000_000, SSRCs: []uint32{videoSSRC}}
	report := &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
		{SSRC: videoSSRC, FractionLost: 64, Jitter: 900}, {SSRC: audioSSRC, FractionLost: 128},
	}}
	for range 50 { // of a viewer that says it very often
		v.feedback([]rtcp.Packet{report, remb})
	}
	for range 3 {
		b.now += reportInterval
		b.serve(v)
	}
	m := b.o.cfg.Metrics
	if n, sum := seen(t, m.ViewerLossRatio); n != 1 || sum != .25 {
		t.Errorf("loss: %d observations of sum %v, want one of 0.25", n, sum)
	}
	if n, sum := seen(t, m.ViewerEstimateBPS); n != 1 || sum != 3_000_000 {
		t.Errorf("estimate: %d observations of sum %v, want one of 3000000", n, sum)
	}
	if n, sum := seen(t, m.ViewerJitterSeconds); n != 1 || sum != .01 {
		t.Errorf("jitter: %d observations of sum %v, want one of 0.01", n, sum)
	}
	if n, _ := seen(t, m.ViewerRoundTripSeconds); n != 0 {
		t.Errorf("round trip: %d observations without a sender report that was answered", n)
	}
	if s := v.Stats(); s.EstimateBPS != 3_000_000 || s.Video.FractionLost != .25 || s.Audio.FractionLost != .5 {
		t.Errorf("%+v", s)
	}
}

func TestWhatAViewerSaysHasBounds(t *testing.T) {
	b := newOutputTest(t, nil)
	v, _ := b.viewer()
	for _, bitrate := range []float32{float32(math.Inf(1)), float32(math.NaN()), 0, -1} {
		v.feedback([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: bitrate}})
	}
	b.now += time.Hour
	v.feedback([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
		{SSRC: videoSSRC, Jitter: math.MaxUint32, LastSenderReport: uint32(b.o.ntp(0) >> 16)},
	}}})
	if s := v.Stats(); s.EstimateBPS != maxEstimateBPS || s.Video.Jitter != maxReportedTime || s.RoundTrip != 0 {
		t.Errorf("estimate %v, jitter %s, round trip %s", s.EstimateBPS, s.Video.Jitter, s.RoundTrip)
	}
}
