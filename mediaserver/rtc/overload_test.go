package rtc

import (
	"errors"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRoundsInARowMustBeLongBeforePicturesAreLeftOut(t *testing.T) {
	var w workload
	now := time.Duration(0)
	round := func(took time.Duration) (shed bool) {
		w.begin(now)
		now += took
		shed = w.mustShed(now)
		w.end(now)
		return shed
	}
	for i, tt := range []struct {
		took time.Duration
		shed bool
	}{
		{time.Second, false}, {time.Second, false}, {longRound - 1, false}, // a pause of the process
		{longRound, false}, {longRound, false}, {longRound, false}, {longRound - 1, false},
		{longRound, false}, {longRound, false}, {longRound, false}, {longRound, true}, {longRound, true}, // no end to it
		{longRound / 2, false}, {longRound, true}, // the shed viewers are back
		{overloadMemory - 1, true}, {longRound / 2, false}, // still
	} {
		if got := round(tt.took); got != tt.shed {
			t.Errorf("round %d: pictures are left out: %v", i, got)
		}
	}
}

// TestAnOverloadedServerSendsWholePicturesInTime has a server that can send to four of ten viewers.
func TestAnOverloadedServerSendsWholePicturesInTime(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.Senders = 1 })
	fanout := b.o.fanouts[0]
	var viewers []*Viewer
	var lines []*fakePeer
	for range 10 {
		v, w := b.viewer()
		w.fail = func(h *rtp.Header) (int, error) {
			b.now += frameInterval / 8 // each picture is two packets
			return 1, nil
		}
		viewers, lines = append(viewers, v), append(lines, w)
	}
	latest := make([]time.Duration, len(viewers)) // when each viewer last got a packet
	served := make([]int, len(viewers))
	for frame := 0; frame < 900; {
		for ; b.at <= b.now; frame++ { // the pictures that have come meanwhile
			b.at += frameInterval
			b.o.WriteVideo(b.at, testPicture(frame%30 == 0, 2000), false)
		}
		b.now = max(b.now, b.at)
		for _, v := range viewers {
			v.path.heardAt.Store(int64(b.now))
		}
		began := b.now
		fanout.round()
		if took := b.now - began; b.now > 20*time.Second && took > 3*longRound {
			t.Fatalf("a round took %v", took)
		}
		for i, w := range lines {
			packets := w.take(videoSSRC)
			served[i] += len(packets)
			if len(packets) > 0 {
				latest[i] = b.now
			}
		}
	}
	for i, v := range viewers {
		if served[i] == 0 || b.now-latest[i] > 10*time.Second {
			t.Errorf("viewer %d got %d packets, the last %v ago", i, served[i], b.now-latest[i])
		}
		if s := v.Stats().Video; s.Skipped == 0 {
			t.Errorf("viewer %d lost no pictures", i)
		}
	}
	if testutil.ToFloat64(b.o.cfg.Metrics.PacketsDropped.WithLabelValues("overload")) == 0 {
		t.Error("what was left out is not counted")
	}
	if err := b.o.attach(&Viewer{output: b.o}); !errors.Is(err, ErrOverloaded) {
		t.Errorf("another viewer: %v", err)
	}
	b.now += overloadMemory
	if b.o.cfg.Egress.overloaded(b.now) {
		t.Error("overloaded for ever")
	}
}
