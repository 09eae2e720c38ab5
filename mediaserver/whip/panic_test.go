package whip

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestAPanicEndsItsSessionAlone(t *testing.T) {
	var r *recovery.Recovery
	s := newTestServer(t, func(cfg *Config) {
		r = recovery.New(recovery.Config{Panics: cfg.Metrics.Panics})
		cfg.Recovery = r
	})
	all := pictures(t, mediatest.Spec{Duration: 2 * time.Second, NoAudio: true})
	broken := s.publish(t, "/live/whip/primary", encoderOptions{})
	other := s.publish(t, "/live/whip/backup", encoderOptions{})
	go broken.play(all, t.Context().Done())
	go other.play(all, t.Context().Done())
	primary, backup := s.registry.Stream(stream.Key{App: "live", ID: "primary"}), s.registry.Stream(stream.Key{App: "live", ID: "backup"})
	eventually.True(t, "both streams", func() bool { return primary.Snapshot().EntryPoint && backup.Snapshot().EntryPoint })

	for _, peer := range s.handler.front.Peers() {
		if session := peer.(*session); session.request.Key == primary.Key() {
			session.incoming.packets <- trackPacket{kind: stream.Video} // without a packet
		}
	}
	eventually.True(t, "the end of the session", func() bool { return primary.Snapshot().Publication == nil })
	if n := testutil.ToFloat64(s.metrics.Panics.WithLabelValues("whip")); n != 1 {
		t.Errorf("%v panics are counted", n)
	}
	if r.Reason() != nil {
		t.Errorf("the server gives up: %v", r.Reason())
	}
	before := backup.Snapshot().Video.Frames
	eventually.True(t, "more of the other stream", func() bool { return backup.Snapshot().Video.Frames > before+10 })
	again := s.publish(t, "/live/whip/primary", encoderOptions{})
	go again.play(all, t.Context().Done())
	eventually.True(t, "the stream again", func() bool { return primary.Snapshot().EntryPoint })
}
