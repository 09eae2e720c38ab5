package rtc

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestJoiningViewerGetsAPictureAtOnce(t *testing.T) {
	b := newRig(t, nil)
	b.write(40, true, 900) // of which the first and last are 1.3 s apart
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)
	if len(packets) != 41 { // with the parameter sets
		t.Fatalf("%d packets at once, want the whole GOP", len(packets))
	}
	if !startsPicture(packets[0]) {
		t.Error("the first packet does not start a picture")
	}
	follows(t, packets)
	last := packets[len(packets)-1].Timestamp
	if want := uint32(ticks(b.at, videoClockRate)); last != want {
		t.Errorf("ends at %d, want at the live edge %d", last, want)
	}
	if span := last - packets[0].Timestamp; span != 39*squeezeStep {
		t.Errorf("40 pictures span %d ticks, want %d", span, 39*squeezeStep)
	}

	b.write(3, false, 900)
	b.serve(v)
	live := w.take(videoSSRC)
	follows(t, append(packets, live...))
	if got, want := live[2].Timestamp, uint32(ticks(b.at, videoClockRate)); got != want {
		t.Errorf("live picture at %d, want %d", got, want)
	}
}

func TestViewerWhoJoinsWhenTheSourceIsSilentTakesNowForThePresent(t *testing.T) {
	b := newRig(t, nil)
	for i := range 10 { // a source 300 ms behind
		b.now += frameInterval
		b.at = b.now - 300*time.Millisecond
		b.o.WriteVideo(b.at, testPicture(i == 0, 10), false)
	}
	b.now += time.Minute
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)
	if len(packets) != 11 {
		t.Fatalf("%d packets, want the last picture and what it needs", len(packets))
	}
	if got, want := packets[10].Timestamp, uint32(ticks(b.now-300*time.Millisecond-edgeMargin, videoClockRate)); got != want {
		t.Errorf("ends at %d, want at the present, %d", got, want)
	}
	for i, lag := range []time.Duration{500, 499, 498, 100, 60} { // at first further behind than before
		b.now += time.Millisecond
		b.o.WriteVideo(b.now-lag*time.Millisecond, testPicture(i == 0, 10), false)
		b.serve(v)
	}
	packets = append(packets, w.take(videoSSRC)...)
	follows(t, packets)
	if got, want := packets[len(packets)-1].Timestamp, uint32(ticks(b.now-60*time.Millisecond, videoClockRate)); got != want {
		t.Errorf("then live at %d, want %d", got, want)
	}
	nack := &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: packets[12].SequenceNumber}}}
	v.feedback(v.video, nack)
	if diff := cmp.Diff(packets[12:13], w.take(videoSSRC)); diff != "" {
		t.Error(diff)
	}
}

func TestFirstPacketIsTriedUntilItsWayIsReady(t *testing.T) {
	b := newRig(t, nil)
	b.write(10, true, 100)
	v, w := b.viewer()
	w.fail = func(*rtp.Header) (int, error) { return 0, nil } // as pion does between Bind and connecting its writer
	if again := b.serve(v); again > pacingInterval {
		t.Errorf("looks again after %s", again)
	}
	w.fail = nil
	b.serve(v)
	packets := w.take(videoSSRC)
	if len(packets) != 11 || !startsPicture(packets[0]) {
		t.Errorf("%d packets, want the picture joined with", len(packets))
	}
	if s := v.Stats().Video; s.Dropped != 0 {
		t.Errorf("%d packets dropped", s.Dropped)
	}
}

func TestViewerWhoCameFirstStartsWithTheFirstIDR(t *testing.T) {
	b := newRig(t, nil)
	v, w := b.viewer()
	b.serve(v)
	b.write(5, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 0 {
		t.Fatalf("%d packets that can't be decoded were sent", len(got))
	}
	if b.asked != 1 {
		t.Errorf("the source was asked %d times for an IDR, want once", b.asked)
	}
	b.now += askInterval
	b.serve(v)
	if b.asked != 2 {
		t.Errorf("after a second without, asked %d times, want twice", b.asked)
	}
	b.write(2, true, 100)
	b.serve(v)
	packets := w.take(videoSSRC)
	if len(packets) != 3 || !startsPicture(packets[0]) {
		t.Fatalf("%d packets, want parameter sets and two pictures", len(packets))
	}
	follows(t, packets)
}

func TestNumbersWrap(t *testing.T) {
	b := newRig(t, func(cfg *OutputConfig) {
		cfg.start = &startNumbers{videoSequence: 0xfff0, audioSequence: 0xfffe, videoTimestamp: 0xffff_0000, audioTimestamp: 0xffff_ff00}
	})
	b.write(10, true, 3000)
	v, w := b.viewer()
	b.serve(v)
	b.write(10, false, 3000)
	b.settle(v)
	for i := range 10 {
		b.o.WriteOpus(b.now+time.Duration(i)*20*time.Millisecond, 20*time.Millisecond, []byte{1, 2, 3})
	}
	b.serve(v)
	video, audio := w.take(videoSSRC), w.take(audioSSRC)
	if len(video) != 61 || len(audio) != 10 {
		t.Fatalf("%d video and %d audio packets, want 61 and 10", len(video), len(audio))
	}
	follows(t, video)
	for i := 1; i < len(audio); i++ {
		if audio[i].SequenceNumber != audio[i-1].SequenceNumber+1 || audio[i].Timestamp != audio[i-1].Timestamp+960 {
			t.Errorf("audio packet %d: %v follows %v", i, audio[i], audio[i-1])
		}
	}

	v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: 0xfff1, LostPackets: 1<<15 | 1}}})
	again := w.take(videoSSRC)
	want := []rtp.Packet{video[1], video[2], video[17]}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error("NACK across the wrap:", diff)
	}
}

func TestPictureTimesNeverGoBack(t *testing.T) {
	b := newRig(t, nil)
	v, w := b.viewer()
	for _, at := range []time.Duration{5, 6, 6, 3, 7} {
		b.o.WriteVideo(at*time.Millisecond, testPicture(at == 5, 10), false)
		b.serve(v)
	}
	var got []uint32
	for _, p := range w.take(videoSSRC)[1:] {
		got = append(got, p.Timestamp)
	}
	if diff := cmp.Diff([]uint32{450, 540, 541, 542, 630}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNACKIsAnsweredWithTheVeryPacket(t *testing.T) {
	b := newRig(t, nil)
	b.write(40, true, 900)
	v, w := b.viewer()
	b.serve(v)
	b.write(5, false, 900)
	b.serve(v)
	packets := w.take(videoSSRC)
	for _, i := range []int{0, 1, 20, 39, 40, 41, 45} { // squeezed and live ones
		number := packets[i].SequenceNumber
		v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: number}}})
		again := w.take(videoSSRC)
		if diff := cmp.Diff(packets[i:i+1], again); diff != "" {
			t.Errorf("packet %d: %s", i, diff)
		}
	}
	next := packets[45].SequenceNumber + 1
	v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: next}, {PacketID: next - 1000}}})
	v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: 77, Nacks: []rtcp.NackPair{{PacketID: packets[0].SequenceNumber}}})
	if again := w.take(videoSSRC); len(again) != 0 {
		t.Errorf("%d packets sent that were never sent before, or for another SSRC", len(again))
	}
	if s := v.Stats().Video; s.Nacked != 9 || s.Resent != 7 {
		t.Errorf("%d asked for, %d sent again; want 9 and 7", s.Nacked, s.Resent)
	}
}

func TestNACKsOfOneViewerAreLimited(t *testing.T) {
	b := newRig(t, nil)
	b.write(10, true, 1000)
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)
	nack := &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: packets[0].SequenceNumber, LostPackets: 0x3ff}}}
	for range 1000 {
		v.feedback(v.video, nack)
	}
	bytes := 0
	for _, p := range w.take(videoSSRC) {
		bytes += len(p.Payload)
	}
	if bytes > nackBurst+2000 {
		t.Errorf("%d bytes sent again at once, limit %d", bytes, nackBurst)
	}
}

func TestPacketThatFailsSkipsToTheNextIDR(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
	}{{"buffer full", nil}, {"write error", errors.New("no route")}} {
		t.Run(test.name, func(t *testing.T) {
			b := newRig(t, nil)
			b.write(1, true, 3000)
			v, w := b.viewer()
			b.serve(v)
			before := w.take(videoSSRC)

			w.fail = func(h *rtp.Header) (int, error) { return 0, test.err }
			b.write(1, false, 3000)
			b.serve(v)
			w.fail = nil
			b.write(5, false, 3000)
			b.serve(v)
			if got := w.take(videoSSRC); len(got) != 0 {
				t.Fatalf("%d packets sent that can't be decoded", len(got))
			}
			b.write(2, true, 3000)
			b.serve(v)
			after := w.take(videoSSRC)
			if len(after) != 7 || !startsPicture(after[0]) {
				t.Fatalf("%d packets, want two pictures beginning with an IDR", len(after))
			}
			follows(t, after)
			if got, want := after[0].SequenceNumber, before[len(before)-1].SequenceNumber+2; got != want {
				t.Errorf("goes on with %d, want %d: the lost packet's number is not used again", got, want)
			}
			if s := v.Stats().Video; s.Dropped != 1 || s.Skipped != 2+15 {
				t.Errorf("%d dropped and %d skipped, want 1 and 17", s.Dropped, s.Skipped)
			}
			// What went out after the gap can still be asked for.
			v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: after[3].SequenceNumber}}})
			if diff := cmp.Diff(after[3:4], w.take(videoSSRC)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestViewerNothingGetsThroughToIsDropped(t *testing.T) {
	b := newRig(t, func(cfg *OutputConfig) { cfg.StallTimeout = 10 * time.Second })
	v, w := b.viewer()
	b.write(1, true, 100)
	b.serve(v)
	w.fail = func(*rtp.Header) (int, error) { return 0, nil }
	b.now += time.Minute // nothing on air is no reason
	b.at = b.now
	b.write(1, true, 100)
	b.serve(v)
	for range 330 { // 11 s
		b.write(1, true, 100)
		b.serve(v)
	}
	select {
	case <-v.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	if n := b.o.ViewerCount(); n != 0 {
		t.Errorf("%d viewers left", n)
	}
	if w.closed != 1 {
		t.Errorf("peer connection closed %d times", w.closed)
	}
}

func TestPLIOfAnAskableSourceAsksIt(t *testing.T) {
	b := newRig(t, nil)
	b.askable = true
	b.write(10, true, 100)
	v, w := b.viewer()
	b.serve(v)
	w.take(videoSSRC)
	v.feedback(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	v.feedback(v.video, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC}}})
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
	b := newRig(t, nil)
	b.write(20, true, 100)
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)

	pli := &rtcp.PictureLossIndication{MediaSSRC: videoSSRC}
	v.feedback(v.video, pli)
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
	v.feedback(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{
		{PacketID: packets[5].SequenceNumber}, {PacketID: again[5].SequenceNumber},
	}})
	if diff := cmp.Diff([]rtp.Packet{packets[5], again[5]}, w.take(videoSSRC)); diff != "" {
		t.Error("NACK of the same picture sent twice:", diff)
	}

	v.feedback(v.video, pli) // at once again: refused
	b.write(1, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 1 {
		t.Errorf("%d packets, want the live one only", len(got))
	}
}

func TestPLIAfterWhichAnIDRComesReplaysNothing(t *testing.T) {
	b := newRig(t, nil)
	b.write(20, true, 100)
	v, w := b.viewer()
	b.serve(v)
	w.take(videoSSRC)
	v.feedback(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	b.write(1, true, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 2 {
		t.Errorf("%d packets, want parameter sets and the IDR", len(got))
	}
}

func TestSenderReportsFollowTheMediaClock(t *testing.T) {
	b := newRig(t, func(cfg *OutputConfig) {
		cfg.start = &startNumbers{videoTimestamp: 0xffff_ff00, audioTimestamp: 0xffff_ff00}
	})
	v, w := b.viewer()
	b.now = 7 * time.Second
	b.serve(v)
	if len(w.reports) != 0 {
		t.Fatal("a report about tracks on which nothing was sent")
	}
	b.now += 123 * time.Millisecond
	b.o.WriteVideo(b.now-time.Second, testPicture(true, 10), false) // late from the source
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
	// The viewer's own report gives the round trip: 50 ms, of which 20 at its end.
	b.now += 50 * time.Millisecond
	v.feedback(v.video, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{
		SSRC: videoSSRC, LastSenderReport: uint32(w.reports[3].(*rtcp.SenderReport).NTPTime >> 16), Delay: 65536 / 50, FractionLost: 64,
	}}})
	s := v.Stats()
	if s.RoundTrip < 29*time.Millisecond || s.RoundTrip > 31*time.Millisecond || s.Video.FractionLost != .25 {
		t.Errorf("round trip %s, loss %v; want 30 ms and 0.25", s.RoundTrip, s.Video.FractionLost)
	}
}

func TestNTPIsWallClock(t *testing.T) {
	b := newRig(t, nil)
	b.now = time.Hour
	got := b.o.ntp(b.now)
	want := uint64(b.o.ntpZero.Add(time.Hour).Unix() + 2_208_988_800)
	if got>>32 != want {
		t.Errorf("%d seconds, want %d", got>>32, want)
	}
}
