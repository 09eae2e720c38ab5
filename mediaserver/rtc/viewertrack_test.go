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
	b := newOutputTest(t, nil)
	b.write(40, true, 900) // the first and the last are 1.3 s apart
	v, w := b.viewer()
	b.serve(v)
	packets := w.take(videoSSRC)
	if len(packets) != 41 { // one more for the parameter sets
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
	b := newOutputTest(t, nil)
	for i := range 10 { // the source is 300 ms behind
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
	v.feedbackOn(v.video, nack)
	if diff := cmp.Diff(packets[12:13], w.take(videoSSRC)); diff != "" {
		t.Error(diff)
	}
}

func TestPacketsThatCouldNotBeSentEndThePicture(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(10, true, 100)
	v, w := b.viewer()
	b.serve(v)
	before := len(w.take(videoSSRC))
	w.lost = 1 // found out when all were written
	b.write(1, false, 100)
	b.serve(v)
	b.write(5, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 1 {
		t.Errorf("%d packets that can't be decoded were sent", len(got)-1)
	}
	if s := v.Stats().Video; s.Dropped != 1 || s.Packets != uint64(before) {
		t.Errorf("%d packets dropped and %d sent, want 1 and %d", s.Dropped, s.Packets, before)
	}
	b.write(1, true, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 2 || !startsPicture(got[0]) {
		t.Errorf("%d packets, want the next IDR", len(got))
	}
}

func TestViewerWhoCameFirstStartsWithTheFirstIDR(t *testing.T) {
	b := newOutputTest(t, nil)
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
	b := newOutputTest(t, func(cfg *OutputConfig) {
		cfg.start = &startNumbers{videoSequence: 0xfff0, audioSequence: 0xfffe, videoTimestamp: 0xffff_0000, audioTimestamp: 0xffff_ff00}
	})
	b.write(10, true, 3000)
	v, w := b.viewer()
	b.serve(v)
	b.write(10, false, 3000)
	b.drain(v)
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

	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: 0xfff1, LostPackets: 1<<15 | 1}}})
	again := w.take(videoSSRC)
	want := []rtp.Packet{video[1], video[2], video[17]}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error("NACK across the wrap:", diff)
	}
}

func TestPictureTimesNeverGoBack(t *testing.T) {
	b := newOutputTest(t, nil)
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

func TestPacketThatFailsSkipsToTheNextIDR(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
	}{{"buffer full", nil}, {"write error", errors.New("no route")}} {
		t.Run(test.name, func(t *testing.T) {
			b := newOutputTest(t, nil)
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
			// The packets after the gap can still be asked for.
			v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: after[3].SequenceNumber}}})
			if diff := cmp.Diff(after[3:4], w.take(videoSSRC)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestViewerNothingGetsThroughToIsDropped(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.StallTimeout = 10 * time.Second })
	v, w := b.viewer()
	b.write(1, true, 100)
	b.serve(v)
	w.fail = func(*rtp.Header) (int, error) { return 0, nil }
	b.now += time.Minute // without media on air, the viewer stays
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
