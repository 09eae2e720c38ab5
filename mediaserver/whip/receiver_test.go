package whip

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A source makes the packets of one SSRC.
type source struct {
	ssrc      uint32
	seq       uint16
	origin    uint32
	payloader codecs.H264Payloader
}

func (s *source) picture(t *testing.T, r *receiver, now, at time.Duration, nalus [][]byte) {
	t.Helper()
	var annexB []byte
	for _, nalu := range nalus {
		annexB = append(append(annexB, 0, 0, 0, 1), nalu...)
	}
	payloads := s.payloader.Payload(1188, annexB)
	for i, payload := range payloads {
		s.seq++
		p := &packet{seq: s.seq, timestamp: s.origin + ticks(at, 90000), marker: i == len(payloads)-1, payload: payload, arrival: now}
		if err := r.packet(stream.Video, s.ssrc, noRID, p); err != nil {
			t.Fatal(err)
		}
	}
}

// An encoder that begins anew within its session has another SSRC, another RTP clock and other
// sequence numbers.
func TestEncoderMayBeginAnewWithAnotherSSRC(t *testing.T) {
	all := pictures(t, testPictures)
	n := &notebook{faults: map[stream.Kind]string{}}
	r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{video: true, audio: true, videoSSRCs: []uint32{1}})
	sources := []*source{{ssrc: 1, seq: 100, origin: 1 << 31}, {ssrc: 2, seq: 60000, origin: 7}}
	const start, step = 100 * time.Second, 20 * time.Millisecond
	asked := false
	for i := range 400 {
		now := start + time.Duration(i)*step
		which := i / 200 // 4 s each
		at := time.Duration(i%200) * step
		sources[which].picture(t, r, now, at, all[i%len(all)])
		audio := &packet{seq: uint16(i), timestamp: ticks(at, 48000), payload: []byte{1}, arrival: now}
		if err := r.packet(stream.Audio, uint32(11+which), noRID, audio); err != nil {
			t.Fatal(err)
		}
		feedback, err := r.tick(now)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range feedback {
			if pli, ok := f.(*rtcp.PictureLossIndication); ok && pli.MediaSSRC == 2 {
				asked = true
			}
		}
	}
	if !asked {
		t.Error("the new encoder is not asked for a key frame")
	}
	for kind, times := range map[string][]time.Duration{"picture": n.video, "sound": n.audio} {
		if len(times) < 250 {
			t.Errorf("%d of 400 of the %s", len(times), kind)
		}
		for i := 1; i < len(times); i++ {
			// At most layerLoss, and then until the next key frame.
			if gap := times[i] - times[i-1]; gap <= 0 || gap > layerLoss+1500*ms {
				t.Errorf("%s: %v from %v on", kind, gap, times[i-1]-start)
			}
		}
		if last := times[len(times)-1]; last < start+7500*ms {
			t.Errorf("the %s ends at %v", kind, last-start)
		}
	}
}
