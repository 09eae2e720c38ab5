package server

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A fuse makes the first of two servers panic at the next
// change of a stream, while the lock of that stream is held.
type fuse struct {
	lit     atomic.Bool
	servers int
}

func (f *fuse) fit(c *Config) {
	if f.servers++; f.servers == 1 {
		c.onChange = func() {
			if f.lit.CompareAndSwap(true, false) {
				panic("lit")
			}
		}
	}
}

func TestThePeerPlaysOnAfterAPanicUnderASharedLock(t *testing.T) {
	var f fuse
	w := startRelayedPair(t, sticky, drainsFor(patience), f.fit)
	w.publishBoth()
	viewers := w.watch()
	for _, v := range viewers {
		v.sees(0, fps*2, time.Time{})
	}

	w.servers[0].givesUp = true
	broken := time.Now()
	f.lit.Store(true)
	// A second publisher of the stream is refused, which changes the stream's status.
	stranger := mediatest.Publish(t, file(t, mediatest.Programme{Leg: 2}), w.servers[0].publishURL("primary"))
	defer stranger.Kill()
	for _, v := range viewers {
		v.sees(1, fps, broken)
	}
	t.Logf("both servers play the other leg after %v", time.Since(broken).Round(ms))
	viewers[0].leaves()
	t.Logf("the server ended %v after its last viewer left", w.hasEnded(0, damagedDrain+endTimeout+patience/2).Round(ms))
	if reason := w.servers[0].recovery.Reason(); reason == nil {
		t.Error("there is no reason")
	}
	viewers[1].sees(1, fps*2, time.Now())
	gap := mediatest.LongestGap(viewers[1].Sightings(), broken, time.Now())
	t.Logf("longest gap at the peer: %v", gap.Round(ms))
	if gap > maxGap/2 {
		t.Error("that is too long")
	}
	viewers[1].leaves().isContinuous()
}

func TestAServerThatGivesUpEndsAlthoughALockIsNeverGivenBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, drainsFor(patience))
	s.givesUp = true
	s.pairs.mu.Lock() // never unlocked before the end of the test; drain and end need it
	_ = s.recovery.Do("test", func() {
		s.config.putting.Lock()
		defer s.config.putting.Unlock()
		panic("lit")
	})
	select {
	case <-s.ended:
	case <-time.After(damagedDrain + endTimeout + patience):
		t.Fatal("the server goes on")
	}
	s.pairs.mu.Unlock() // lets its goroutines end with the test
}

func TestAPublisherThatIsExpelledIsTold(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	path := file(t, mediatest.Programme{})
	encoder := mediatest.Publish(t, path, s.publishURL("primary"), "-stream_loop", "-1")
	s.onAir("primary", true, false)
	key := stream.Key{App: "live", ID: "primary"}
	s.registry.Stream(key).Cached()[0].Publication.Expel()
	encoder.Kill()
	again := mediatest.Publish(t, path, s.publishURL("primary"), "-stream_loop", "-1")
	defer again.Kill()
	refusals := s.pairs.metrics.PublishRefusals.WithLabelValues("rtmp", "Expelled")
	eventually.True(t, "it is refused", func() bool { return testutil.ToFloat64(refusals) == 1 })
	if _, err := s.registry.Publish(stream.PublishRequest{Key: key, Remote: "192.0.2.1:1"}); err != nil {
		t.Errorf("an encoder at another address gets %v", err)
	}
	warned := false
	for _, leg := range s.pair("sunday").Legs {
		for _, w := range leg.Warnings {
			warned = warned || w.Code == "PublisherExpelled"
		}
	}
	if !warned {
		t.Error("the status does not tell")
	}
}
