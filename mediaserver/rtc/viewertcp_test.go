package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A fakeConn is an ICE-TCP connection that the test can make full.
type fakeConn struct {
	shut    bool
	wakes   int
	waiting time.Duration
}

func (g *fakeConn) HasRoom(func()) bool {
	if g.shut {
		g.wakes++
	}
	return !g.shut
}

func (g *fakeConn) Waiting() time.Duration { return g.waiting }

// overTCP gives a viewer an ICE-TCP connection.
func overTCP(v *Viewer) *fakeConn {
	g := &fakeConn{}
	v.path.selected.Store(&selection{connection: g})
	return g
}

func TestAViewerWhoseConnectionIsFullGetsAllOnceThereIsRoom(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(3, true, 100)
	v, w := b.viewer()
	g := overTCP(v)
	g.shut = true
	if again := b.serve(v); again < pacingInterval || g.wakes == 0 {
		t.Errorf("served again after %v without being woken", again)
	}
	b.write(10, false, 100)
	b.o.WriteOpus(b.now, 20*time.Millisecond, []byte{1})
	b.serve(v)
	if len(w.packets) != 0 {
		t.Fatal("packets were sent without room")
	}
	g.shut = false
	b.serve(v)
	video := w.take(videoSSRC)
	if len(video) != 14 || !startsPicture(video[0]) || len(w.take(audioSSRC)) != 1 {
		t.Errorf("%d packets, want parameter sets and 13 pictures, and one of sound", len(video))
	}
	follows(t, video)
	if s := v.Stats(); s.Video.Dropped+s.Audio.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAViewerWhoseConnectionWasFullSkipsToTheNewestIDR(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(5, true, 100)
	v, w := b.viewer()
	g := overTCP(v)
	b.serve(v)
	before := w.take(videoSSRC)
	g.shut = true
	b.write(30, false, 100)
	b.serve(v)
	b.write(30, true, 100)
	b.serve(v)
	b.write(3, true, 100)
	b.serve(v)
	g.shut = false
	b.serve(v)
	after := w.take(videoSSRC)
	if len(after) != 4 || !startsPicture(after[0]) {
		t.Fatalf("%d packets, want the last IDR's parameter sets and 3 pictures", len(after))
	}
	follows(t, append(before, after...))
	if s := v.Stats().Video; s.Dropped != 0 || s.Skipped == 0 {
		t.Errorf("%d dropped, %d skipped", s.Dropped, s.Skipped)
	}
}

func TestOneIDRThatIsHardlyNewerIsNoReasonToSkip(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(5, true, 100)
	v, w := b.viewer()
	g := overTCP(v)
	b.serve(v)
	before := w.take(videoSSRC)
	g.shut = true
	b.write(1, false, 100)
	b.write(1, true, 100)
	b.serve(v)
	g.shut = false
	b.serve(v)
	after := w.take(videoSSRC)
	if len(after) != 3 {
		t.Errorf("%d packets, want all three", len(after))
	}
	follows(t, append(before, after...))
}

// A joining viewer is sent the pictures since the IDR with squeezed timestamps. The last of
// these may be later than the timestamp of an IDR that comes meanwhile.
func TestSkippingWhileJoiningKeepsTimestampsGrowing(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(90, true, 100)
	v, w := b.viewer()
	g := overTCP(v)
	b.now += 40 * time.Millisecond // the live edge is later than the newest picture
	sent := 0
	w.fail = func(*rtp.Header) (int, error) {
		if sent++; sent == 80 {
			g.shut = true
		}
		return 1, nil
	}
	b.serve(v)
	w.fail = nil
	b.write(5, true, 100)
	b.serve(v)
	g.shut = false
	b.serve(v)
	video := w.take(videoSSRC)
	if len(video) != 80+6 {
		t.Errorf("%d packets", len(video))
	}
	for i := 1; i < len(video); i++ {
		if step := int32(video[i].Timestamp - video[i-1].Timestamp); step < 0 || step == 0 && video[i-1].Marker {
			t.Errorf("packet %d: timestamp %d follows %d", i, video[i].Timestamp, video[i-1].Timestamp)
		}
	}
}

func TestSoundThatIsLateIsLeftOut(t *testing.T) {
	for name, tt := range map[string]struct{ packets, want int }{
		"a fifth of a second": {10, 10},
		"two seconds":         {100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newOutputTest(t, nil)
			v, w := b.viewer()
			g := overTCP(v)
			b.o.WriteOpus(b.now, 20*time.Millisecond, []byte{1})
			b.serve(v)
			w.take(audioSSRC)
			g.shut = true
			for range tt.packets {
				b.now += 20 * time.Millisecond
				b.o.WriteOpus(b.now, 20*time.Millisecond, []byte{1})
				b.serve(v)
			}
			g.shut = false
			b.serve(v)
			got := w.take(audioSSRC)
			if tt.want == 0 && len(got) > 26 || tt.want != 0 && len(got) != tt.want {
				t.Errorf("%d packets of %d", len(got), tt.packets)
			}
			for i := 1; i < len(got); i++ {
				if got[i].SequenceNumber != got[i-1].SequenceNumber+1 {
					t.Errorf("packet %d: sequence number %d follows %d", i, got[i].SequenceNumber, got[i-1].SequenceNumber)
				}
			}
		})
	}
}

func TestAViewerWhoReadsNothingForFiveSecondsIsEnded(t *testing.T) {
	b := newOutputTest(t, nil)
	v, _ := b.viewer()
	g := overTCP(v)
	g.waiting = unsentLimit - time.Second
	b.now += 2 * reportInterval
	b.serve(v)
	select {
	case <-v.Done():
		t.Fatal("ended too soon")
	case <-time.After(50 * time.Millisecond):
	}
	g.waiting = unsentLimit + time.Second
	b.now += 2 * reportInterval
	b.serve(v)
	select {
	case <-v.Done():
	case <-time.After(testLimit):
		t.Fatal("not ended")
	}
	if n := testutil.ToFloat64(b.o.cfg.Metrics.ViewersDropped.WithLabelValues(ClosedStalled)); n != 1 {
		t.Errorf("counted %v times", n)
	}
}
