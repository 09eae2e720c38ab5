package whip

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestOfferedTracksThatDoNotComeAreTold(t *testing.T) {
	const s = time.Second
	both := tracks{video: true, audio: true}
	for _, test := range []struct {
		name      string
		offered   tracks
		connected bool
		now       time.Duration // since connected at 100 s
		// when the last packet, picture and sound came, since connected; 0: never
		packet, picture, sound time.Duration
		want                   [2]string
	}{
		{"not connected: nothing is expected", both, false, 60 * s, 0, 0, 0, [2]string{}},
		{"connected for less than 5 s", both, true, 4 * s, 0, 0, 0, [2]string{}},
		{"nothing comes for 5 s", both, true, 5 * s, 0, 0, 0, [2]string{"NoVideoPackets", "NoAudioPackets"}},
		{"no picture", both, true, 6 * s, 0, 0, 6 * s, [2]string{"NoVideoPackets", ""}},
		{"no sound", both, true, 6 * s, 6 * s, 6 * s, 0, [2]string{"", "NoAudioPackets"}},
		{"packets, and none of a picture", both, true, 6 * s, 6 * s, 0, 6 * s, [2]string{"NoPicture", ""}},
		{"all comes", both, true, 6 * s, 6 * s, 6 * s, 6 * s, [2]string{}},
		{"a picture that stopped", both, true, 60 * s, 54 * s, 54 * s, 60 * s, [2]string{"NoVideoPackets", ""}},
		{"what was not offered is not missing", tracks{audio: true}, true, 60 * s, 0, 0, 60 * s, [2]string{}},
		{"nor is sound", tracks{video: true}, true, 60 * s, 60 * s, 60 * s, 0, [2]string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const connected = 100 * time.Second
			n := &notebook{faults: map[stream.Kind]string{}}
			r := newReceiver(n, metrics.New(prometheus.NewRegistry()), test.offered)
			if test.connected {
				r.presence.connect(connected)
				r.presence.connect(connected + time.Hour) // known already
			}
			at := func(since time.Duration) time.Duration {
				if since == 0 {
					return 0
				}
				return connected + since
			}
			r.video.lastPacket, r.video.lastWritten = at(test.packet), at(test.picture)
			r.sound.started, r.sound.last = test.sound > 0, at(test.sound)
			var got [2]string
			for kind, f := range r.faults(connected + test.now) {
				if f != nil {
					got[kind] = f.Code
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFaultIsToldOnceAndTakenBack(t *testing.T) {
	n := &notebook{faults: map[stream.Kind]string{}}
	r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{audio: true})
	r.presence.connect(0)
	r.tell(missingAfter)
	if n.faults[stream.Audio] != "NoAudioPackets" {
		t.Fatalf("told: %v", n.faults)
	}
	clear(n.faults)
	r.tell(missingAfter + time.Second)
	if len(n.faults) > 0 {
		t.Errorf("told again: %v", n.faults)
	}
	n.faults[stream.Audio] = "NoAudioPackets"
	r.sound.last = missingAfter + 2*time.Second
	r.tell(missingAfter + 2*time.Second)
	if len(n.faults) > 0 {
		t.Errorf("not taken back: %v", n.faults)
	}
}

func TestPublisherWithoutItsPictureIsNoWholeLeg(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	e := s.publish(t, "/live/whip/primary", encoderOptions{})
	video := e.video
	e.video = nil // connected, and nothing comes of the track
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		e.play(append(all, append(all, all...)...), stop)
	}()
	snapshot := func() stream.Snapshot { return s.registry.Stream(primary).Snapshot() }
	warned := func() bool {
		return slices.ContainsFunc(snapshot().Warnings, func(w stream.Warning) bool { return w.Code == "NoVideoPackets" })
	}
	await(t, "the warning", warned)
	if snap := snapshot(); !snap.Video.Announced || snap.Video.Fault == nil {
		t.Errorf("the video track is %+v", snap.Video)
	}
	close(stop)
	<-done
	e.video = video
	e.playFrom(600, all[:60])
	await(t, "the warning to be taken back", func() bool { return !warned() && snapshot().Video.Fault == nil })
}
