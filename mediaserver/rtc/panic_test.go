package rtc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/mediaserver/recovery"
)

func TestAPanicEndsItsViewerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *recovery.Recovery
		zero := time.Now()
		b := newOutputTest(t, func(cfg *OutputConfig) {
			r = recovery.New(recovery.Config{Panics: cfg.Metrics.Panics})
			cfg.Recovery = r
			cfg.Now = func() time.Duration { return time.Since(zero) }
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.o.Run(ctx) }()
		broken, line := b.viewer()
		other, otherLine := b.viewer()
		line.fail = func(*rtp.Header) (int, error) { panic("injected") }
		for i := range 90 {
			time.Sleep(frameInterval)
			b.o.WriteVideo(time.Since(zero), testPicture(i == 0, 500), false)
			synctest.Wait()
		}
		select {
		case <-broken.Done():
		default:
			t.Error("the viewer is still there")
		}
		if n := len(otherLine.take(videoSSRC)); n != 90+1 { // the parameter sets are one more packet
			t.Errorf("the other viewer got %d packets", n)
		}
		if n := testutil.ToFloat64(b.o.cfg.Metrics.Panics.WithLabelValues("viewer")); n != 1 {
			t.Errorf("%v panics are counted", n)
		}
		if n := testutil.ToFloat64(b.o.cfg.Metrics.ViewersDropped.WithLabelValues(ClosedFailed)); n != 1 {
			t.Errorf("%v viewers are counted as dropped for it", n)
		}
		if r.Reason() != nil {
			t.Errorf("the server gives up: %v", r.Reason())
		}
		stop()
		<-ended //nolint:errcheck // it is the end of the context
		<-other.Done()
	})
}

func TestAPanicInTheHistoryMakesTheServerGiveUp(t *testing.T) {
	r := recovery.New(recovery.Config{})
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.Recovery = r })
	v, _ := b.viewer()
	b.write(1, true, 100)
	b.o.video.ring = nil // no packet can be read from it
	if _, err := v.fanout.serve(v, b.now, false); !recovery.Is(err) {
		t.Fatalf("got %v", err)
	}
	if r.Reason() == nil {
		t.Error("the server goes on with a history that is shared and broken")
	}
	func() {
		b.o.video.mu.Lock() // the mutex is free, for the planned switch
		defer b.o.video.mu.Unlock()
	}()
}
