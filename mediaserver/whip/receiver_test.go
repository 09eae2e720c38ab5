package whip

import (
	"bytes"
	"fmt"
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

// An encoder that starts again within its session has another SSRC, another RTP clock
// and other sequence numbers.
func TestEncoderMayBeginAnewWithAnotherSSRC(t *testing.T) {
	all := pictures(t, testPictures)
	n := &recordingPublication{faults: map[stream.Kind]string{}}
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
			// The gap is at most layerLoss plus the time until the next IDR.
			if gap := times[i] - times[i-1]; gap <= 0 || gap > layerLoss+1500*ms {
				t.Errorf("%s: %v from %v on", kind, gap, times[i-1]-start)
			}
		}
		if last := times[len(times)-1]; last < start+7500*ms {
			t.Errorf("the %s ends at %v", kind, last-start)
		}
	}
}

// Many layers take no more memory than one. The published layer does not pay for the others.
func TestLayersShareOneBoundOnUnfinishedPictures(t *testing.T) {
	n := &recordingPublication{faults: map[stream.Kind]string{}}
	var rids []string
	for i := range maxLayers - 1 {
		rids = append(rids, fmt.Sprint("r", i))
	}
	r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{video: true, rids: rids})
	shown := &source{ssrc: 100, origin: 1 << 31}
	const now = layerLoss
	for i, picture := range pictures(t, testPictures)[:3] {
		at := now * time.Duration(i) / 2
		shown.picture(t, r, at, at, picture)
	}
	if _, err := r.tick(now); err != nil || r.video.current == nil {
		t.Fatalf("no layer is shown: %v", err)
	}
	before := len(n.video)

	// The published layer sends a large picture. Each other layer sends a picture that never ends.
	payloads := shown.payloader.Payload(1400, append([]byte{0, 0, 0, 1, 0x41}, bytes.Repeat([]byte{0xaa}, 2<<20)...))
	endless := append([]byte{0x7c, 0x01}, bytes.Repeat([]byte{0xaa}, 1400)...) // FU-A, RFC 6184 section 5.8
	highest := 0
	for i, payload := range payloads {
		shown.seq++
		p := &packet{seq: shown.seq, timestamp: shown.origin + ticks(2*now, 90000), marker: i == len(payloads)-1, payload: payload, arrival: 2 * now}
		if err := r.packet(stream.Video, shown.ssrc, noRID, p); err != nil {
			t.Fatal(err)
		}
		for rid := range rids {
			part := bytes.Clone(endless)
			if i == 0 {
				part[1] |= 0x80 // the start
			}
			if err := r.packet(stream.Video, uint32(rid), rid, &packet{seq: uint16(i), payload: part, arrival: 2 * now}); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for _, l := range r.video.layers {
			total += l.assembler.size + len(l.assembler.fragments)
			for _, s := range l.packets.slots {
				if s.packet != nil {
					total += len(s.packet.payload)
				}
			}
		}
		highest = max(highest, total)
	}
	if highest > maxUnfinished {
		t.Errorf("%d bytes of unfinished pictures at a time, want at most %d", highest, maxUnfinished)
	}
	if got := len(n.video) - before; got != 1 {
		t.Errorf("%d pictures of the layer that is shown, want 1", got)
	}
}
