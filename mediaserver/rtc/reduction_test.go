package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestLossDecidesWhoGetsIDRsOnly(t *testing.T) {
	type reports struct {
		n     int // reports, every is between two
		every time.Duration
		due   int     // packets since the report before
		loss  float64 // share of them
		want  bool    // reduced after the last of them
	}
	const second = time.Second
	for _, test := range []struct {
		name  string
		steps []reports
	}{
		{"no loss", []reports{{60, second, 300, 0, false}}},
		{"loss that RTX repairs", []reports{{60, second, 300, .14, false}}},
		{"20 % for less than 5 s", []reports{{4, second, 300, .2, false}, {1, second, 300, 0, false}, {4, second, 300, .2, false}}},
		{"20 % for 5 s", []reports{{4, second, 300, .2, false}, {1, second, 300, .2, true}}},
		{"everything for a moment", []reports{{3, second, 300, 0, false}, {2, second, 300, 1, false}, {10, second, 300, .1, false}}},
		{"the loss ends", []reports{{6, second, 300, .2, true}, {7, second, 60, 0, true}, {1, second, 60, 0, false}, {10, second, 300, 0, false}}},
		{"the loss becomes less", []reports{{6, second, 300, .2, true}, {60, second, 300, .06, true}, {5, second, 300, .03, false}}},
		{"reports about nothing", []reports{{6, second, 300, .2, true}, {60, second, 0, 0, true}}},
		{"one small IDR in 2 s, at the end of the loss", []reports{{6, second, 300, .2, true}, {2, 2 * second, 20, 0, true}, {1, 2 * second, 20, 0, false}}},
		{"one small IDR in 2 s, during the loss", []reports{{6, second, 300, .2, true}, {30, 2 * second, 20, .15, true}}},
		{"one tiny IDR in 2 s, at the end of the loss", []reports{{6, second, 300, .2, true}, {2, 2 * second, 4, 0, true}, {3, 2 * second, 4, 0, false}}},
		{"reports that say it often", []reports{{55, second / 10, 30, .2, false}, {1, second / 10, 30, .2, true}}},
		{"few packets, all lost, then none for long", []reports{{9, second, 1, 1, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Hour
			s := lossState{}.after(0, 0, now)
			for i, step := range test.steps {
				for range step.n {
					now += step.every
					s = s.after(step.due, step.loss, now)
				}
				if s.reduced != step.want {
					t.Fatalf("step %d: reduced %v, want %v", i, s.reduced, step.want)
				}
			}
		})
	}
}

// reportLoss gives the viewer's report of a share that was lost. The viewer has got all others.
func (b *outputTest) reportLoss(v *Viewer, share float64) {
	v.feedback([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{
		SSRC: videoSSRC, FractionLost: uint8(share * 256), LastSequenceNumber: uint32(v.video.sequence - 1),
	}}}})
}

// play writes and sends seconds of pictures, with an IDR each second, and reports the loss. It
// returns the pictures that were sent, and how many of them were IDRs.
func (b *outputTest) play(v *Viewer, w *fakePeer, seconds int, loss float64) (pictures, entries int) {
	for range seconds {
		for i := range 30 {
			b.write(1, i == 0, 5000)
			b.drain(v)
			b.at = max(b.at, b.now-frameInterval)
		}
		b.reportLoss(v, loss)
		packets := w.take(videoSSRC)
		follows(b.t, packets)
		for _, p := range packets {
			if p.Marker {
				pictures++
			}
			if startsPicture(p) {
				entries++
			}
		}
	}
	return pictures, entries
}

func TestViewerWithMuchLossGetsIDRsOnlyUntilTheLossEnds(t *testing.T) {
	b := newOutputTest(t, nil)
	v, w := b.viewer()
	reduced, changed := v.Reduced()
	if reduced {
		t.Fatal("reduced at first")
	}
	b.play(v, w, 8, .3)
	select {
	case <-changed:
	default:
		t.Fatal("nobody was told")
	}
	if reduced, _ := v.Reduced(); !reduced || !v.Stats().Reduced {
		t.Fatal("not reduced")
	}
	if n := testutil.ToFloat64(b.o.cfg.Metrics.ViewerReductions); n != 1 {
		t.Errorf("%v reductions counted", n)
	}
	b.asked = 0
	pictures, entries := b.play(v, w, 10, .3)
	if pictures != 10 || entries != 10 {
		t.Errorf("%d pictures, %d of them IDRs; want 10 IDRs only", pictures, entries)
	}
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	if b.asked != 0 {
		t.Error("the source was asked for IDRs for a viewer that gets only them")
	}
	b.play(v, w, 20, 0)
	if reduced, _ := v.Reduced(); reduced {
		t.Fatal("still reduced 20 s after the loss")
	}
	if pictures, _ := b.play(v, w, 3, 0); pictures != 90 {
		t.Errorf("%d pictures in 3 s, want all 90", pictures)
	}
}

func TestLossOfSoundReducesNothing(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(1, true, 100)
	v, _ := b.viewer()
	b.serve(v)
	for i := range 60 {
		b.now += time.Second
		v.feedback([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
			{SSRC: audioSSRC, FractionLost: 128, LastSequenceNumber: uint32(100 * i)},
		}}})
	}
	if v.Stats().Reduced {
		t.Error("reduced")
	}
}
