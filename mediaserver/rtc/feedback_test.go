package rtc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestNACKIsAnsweredWithTheVeryPacket(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(40, true, 900)
	v, w := b.viewer()
	b.serve(v)
	b.write(5, false, 900)
	b.serve(v)
	packets := w.take(videoSSRC)
	for _, i := range []int{0, 1, 20, 39, 40, 41, 45} { // squeezed and live packets
		number := packets[i].SequenceNumber
		v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: number}}})
		again := w.take(videoSSRC)
		if diff := cmp.Diff(packets[i:i+1], again); diff != "" {
			t.Errorf("packet %d: %s", i, diff)
		}
	}
	next := packets[45].SequenceNumber + 1
	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: next}, {PacketID: next - 1000}}})
	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: 77, Nacks: []rtcp.NackPair{{PacketID: packets[0].SequenceNumber}}})
	if again := w.take(videoSSRC); len(again) != 0 {
		t.Errorf("%d packets sent that were never sent before, or for another SSRC", len(again))
	}
	if s := v.Stats().Video; s.Nacked != 9 || s.Resent != 7 {
		t.Errorf("%d asked for, %d sent again; want 9 and 7", s.Nacked, s.Resent)
	}
}

func TestNACKsOfOneViewerAreLimited(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(400, true, 1000)
	v, w := b.viewer()
	b.drain(v)
	for _, p := range w.take(videoSSRC) {
		v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: p.SequenceNumber}}})
	}
	bytes := 0
	for _, p := range w.take(videoSSRC) {
		bytes += len(p.Payload)
	}
	if bytes < nackBurst/2 || bytes > nackBurst+2000 {
		t.Errorf("%d bytes sent again at once, limit %d", bytes, nackBurst)
	}
}

func TestOnePacketIsSentAgainOnlyAFewTimes(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(1, true, 1000)
	v, w := b.viewer()
	b.serve(v)
	nack := &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: w.take(videoSSRC)[1].SequenceNumber}}}
	ask := func(times int, every time.Duration) (again int) {
		for range times {
			v.feedbackOn(v.video, nack)
			b.now += every
		}
		return len(w.take(videoSSRC))
	}
	if n := ask(100, 40*time.Microsecond); n != 1 {
		t.Errorf("sent again %d times within 5 ms, want once", n)
	}
	v.reception.roundTrip = 100 * time.Millisecond
	if n := ask(10, 30*time.Millisecond); n != 2 {
		t.Errorf("sent again %d times within 300 ms, want twice: the round trip is 100 ms", n)
	}
	if n := ask(100, 40*time.Millisecond); n != maxResends-3 {
		t.Errorf("sent again %d times within 4 s, want %d", n, maxResends-3)
	}
	b.now += 2 * resendMemory // another packet has the number by then
	if n := ask(1, 0); n != 1 {
		t.Error("not sent again after a while")
	}
}

func TestPLIOfAnAskableSourceAsksIt(t *testing.T) {
	b := newOutputTest(t, nil)
	b.askable = true
	b.write(10, true, 100)
	v, w := b.viewer()
	b.serve(v)
	w.take(videoSSRC)
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	v.feedbackOn(v.video, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC}}})
	if b.asked != 2 {
		t.Errorf("asked %d times, want 2", b.asked)
	}
	b.write(1, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 1 {
		t.Errorf("%d packets, want the live one only", len(got))
	}
}

func TestPLIOfAnotherSourceReplaysSinceTheIDR(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(20, true, 100)
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)

	pli := &rtcp.PictureLossIndication{MediaSSRC: videoSSRC}
	v.feedbackOn(v.video, pli)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 0 {
		t.Fatalf("%d packets before there is room for them on the time line", len(got))
	}
	b.write(1, false, 100)
	b.serve(v)
	again := w.take(videoSSRC)
	if len(again) != 22 || !startsPicture(again[0]) {
		t.Fatalf("%d packets, want parameter sets and 21 pictures", len(again))
	}
	follows(t, append(packets, again...))
	if got, want := again[21].Timestamp, uint32(ticks(b.at, videoClockRate)); got != want {
		t.Errorf("ends at %d, want at the live edge %d", got, want)
	}
	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{
		{PacketID: packets[5].SequenceNumber}, {PacketID: again[5].SequenceNumber},
	}})
	if diff := cmp.Diff([]rtp.Packet{packets[5], again[5]}, w.take(videoSSRC)); diff != "" {
		t.Error("NACK of the same picture sent twice:", diff)
	}

	v.feedbackOn(v.video, pli) // refused: too soon
	b.write(1, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 1 {
		t.Errorf("%d packets, want the live one only", len(got))
	}
}

func TestPLIAfterWhichAnIDRComesReplaysNothing(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(20, true, 100)
	v, w := b.viewer()
	b.serve(v)
	w.take(videoSSRC)
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	b.write(1, true, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 2 {
		t.Errorf("%d packets, want parameter sets and the IDR", len(got))
	}
}

func TestSenderReportsFollowTheMediaClock(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) {
		cfg.start = &startNumbers{videoTimestamp: 0xffff_ff00, audioTimestamp: 0xffff_ff00}
	})
	v, w := b.viewer()
	b.now = 7 * time.Second
	b.serve(v)
	if len(w.reports) != 0 {
		t.Fatal("a report about tracks on which nothing was sent")
	}
	b.now += 123 * time.Millisecond
	b.o.WriteVideo(b.now-time.Second, testPicture(true, 10), false) // the source was late
	b.o.WriteOpus(b.now-400*time.Millisecond, 20*time.Millisecond, []byte{1, 2, 3})
	b.serve(v)
	var reports []*rtcp.SenderReport
	for _, p := range w.reports {
		if sr, ok := p.(*rtcp.SenderReport); ok {
			reports = append(reports, sr)
		}
	}
	if len(reports) != 2 {
		t.Fatalf("%d reports with the first packets, want one for each track", len(reports))
	}
	video, audio := reports[0], reports[1]
	if video.NTPTime != audio.NTPTime || video.NTPTime != b.o.ntp(b.now) {
		t.Error("the two reports are of different moments")
	}
	if got, want := video.RTPTime, uint32(7123*90-0x100); got != want {
		t.Errorf("video RTP time %d, want %d", got, want)
	}
	if got, want := audio.RTPTime, uint32(7123*48-0x100); got != want {
		t.Errorf("audio RTP time %d, want %d", got, want)
	}
	if video.PacketCount != 2 || audio.PacketCount != 1 || audio.OctetCount != 3 {
		t.Errorf("counts %d, %d and %d, want 2, 1 and 3", video.PacketCount, audio.PacketCount, audio.OctetCount)
	}
	names := w.reports[2].(*rtcp.SourceDescription)
	if len(names.Chunks) != 2 || names.Chunks[0].Items[0].Text != names.Chunks[1].Items[0].Text {
		t.Error("the tracks' CNAMEs do not make them one group")
	}

	b.now += reportInterval
	b.serve(v)
	if len(w.reports) != 6 {
		t.Errorf("%d packets of reports after a second more, want 6", len(w.reports))
	}
	// The round trip is the 50 ms since the server's report less the viewer's delay of 20 ms.
	b.now += 50 * time.Millisecond
	v.feedbackOn(v.video, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{
		SSRC: videoSSRC, LastSenderReport: uint32(w.reports[3].(*rtcp.SenderReport).NTPTime >> 16), Delay: 65536 / 50, FractionLost: 64,
	}}})
	s := v.Stats()
	if s.RoundTrip < 29*time.Millisecond || s.RoundTrip > 31*time.Millisecond || s.Video.FractionLost != .25 {
		t.Errorf("round trip %s, loss %v; want 30 ms and 0.25", s.RoundTrip, s.Video.FractionLost)
	}
}

func TestNTPIsWallClock(t *testing.T) {
	b := newOutputTest(t, nil)
	b.now = time.Hour
	got := b.o.ntp(b.now)
	want := uint64(b.o.ntpZero.Add(time.Hour).Unix() + 2_208_988_800)
	if got>>32 != want {
		t.Errorf("%d seconds, want %d", got>>32, want)
	}
}
