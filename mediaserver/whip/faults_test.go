package whip

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/hack/eventually"
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
		// The times of the last packet, picture, sound and sender report, since
		// connected; 0: never.
		packet, picture, sound, report time.Duration
		want                           [2]string
	}{
		{"not connected: nothing is expected", both, false, 60 * s, 0, 0, 0, 0, [2]string{}},
		{"connected for less than 5 s", both, true, 4 * s, 0, 0, 0, 0, [2]string{}},
		{"nothing comes for 5 s", both, true, 5 * s, 0, 0, 0, 0, [2]string{"NoVideoPackets", "NoAudioPackets"}},
		{"no picture", both, true, 6 * s, 0, 0, 6 * s, 0, [2]string{"NoVideoPackets", ""}},
		{"no sound", both, true, 6 * s, 6 * s, 6 * s, 0, 0, [2]string{"", "NoAudioPackets"}},
		{"packets, and none of a picture", both, true, 6 * s, 6 * s, 0, 6 * s, 0, [2]string{"NoPicture", ""}},
		{"all comes", both, true, 6 * s, 6 * s, 6 * s, 6 * s, 0, [2]string{}},
		{"a picture that stopped", both, true, 60 * s, 54 * s, 54 * s, 60 * s, 0, [2]string{"NoVideoPackets", ""}},
		{"a picture that stopped before all else did", both, true, 60 * s, 40 * s, 40 * s, 50 * s, 0, [2]string{"NoVideoPackets", ""}},
		{"all stopped together: the network is cut", both, true, 60 * s, 50 * s, 50 * s, 49 * s, 48 * s, [2]string{}},
		{"the only track stopped: its leg is silent", tracks{video: true}, true, 60 * s, 50 * s, 50 * s, 0, 0, [2]string{}},
		{"both tracks stopped, and reports come: the encoder is there", both, true, 60 * s, 50 * s, 50 * s, 50 * s, 59 * s, [2]string{"NoVideoPackets", "NoAudioPackets"}},
		{"nothing but reports ever came", both, true, 60 * s, 0, 0, 0, 59 * s, [2]string{"NoVideoPackets", "NoAudioPackets"}},
		{"what was not offered is not missing", tracks{audio: true}, true, 60 * s, 0, 0, 60 * s, 0, [2]string{}},
		{"nor is sound", tracks{video: true}, true, 60 * s, 60 * s, 60 * s, 0, 0, [2]string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const connected = 100 * time.Second
			n := &recordingPublication{faults: map[stream.Kind]string{}}
			r := newReceiver(n, metrics.New(prometheus.NewRegistry()), test.offered)
			if test.connected {
				r.arrivals.connect(connected)
				r.arrivals.connect(connected + time.Hour) // no effect: it is connected already
			}
			at := func(since time.Duration) time.Duration {
				if since == 0 {
					return 0
				}
				return connected + since
			}
			r.video.lastPacket, r.video.lastWritten = at(test.packet), at(test.picture)
			r.audio.started, r.audio.last = test.sound > 0, at(test.sound)
			r.arrivals.lastReceived = at(max(test.packet, test.sound, test.report))
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
	n := &recordingPublication{faults: map[stream.Kind]string{}}
	r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{audio: true})
	r.arrivals.connect(0)
	r.updateFaults(missingAfter)
	if n.faults[stream.Audio] != "NoAudioPackets" {
		t.Fatalf("told: %v", n.faults)
	}
	clear(n.faults)
	r.updateFaults(missingAfter + time.Second)
	if len(n.faults) > 0 {
		t.Errorf("told again: %v", n.faults)
	}
	n.faults[stream.Audio] = "NoAudioPackets"
	r.audio.last = missingAfter + 2*time.Second
	r.updateFaults(missingAfter + 2*time.Second)
	if len(n.faults) > 0 {
		t.Errorf("not taken back: %v", n.faults)
	}
}

// After a cut one track comes before the other. The other is not missing then.
func TestACutOfTheNetworkIsNoFaultOfATrack(t *testing.T) {
	n := &recordingPublication{faults: map[stream.Kind]string{}}
	r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{video: true, audio: true})
	const start = 100 * time.Second
	r.arrivals.connect(start)
	sound, video := &source{ssrc: 1}, &source{ssrc: 2}
	picture := pictures(t, testPictures)[0]
	for at := time.Duration(0); at < 40*time.Second; at += 20 * ms {
		now := start + at
		if cut := at >= 10*time.Second && at < 30*time.Second; !cut {
			video.picture(t, r, now, at, picture)
		}
		if cut := at >= 10*time.Second && at < 30500*ms; !cut {
			sound.seq++
			if err := r.packet(stream.Audio, 1, noRID, &packet{seq: sound.seq, timestamp: ticks(at, 48000), payload: []byte{1}, arrival: now}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.tick(now); err != nil {
			t.Fatal(err)
		}
		if len(n.faults) > 0 {
			t.Fatalf("after %v: %v", at, n.faults)
		}
	}
}

// Silence would make a leg that is cut off look live.
func TestACutOfTheNetworkIsNoMute(t *testing.T) {
	for _, test := range []struct {
		name     string
		soundEnd time.Duration
		want     time.Duration // the last sound
	}{
		{"picture and sound end", 10 * time.Second, 10 * time.Second},
		{"the picture ends while the presenter is muted", 5 * time.Second, 10*time.Second + resumeGrace},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := &recordingPublication{faults: map[stream.Kind]string{}}
			r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{video: true, audio: true, audioSSRCs: []uint32{1}})
			const start, cut = 100 * time.Second, 10 * time.Second
			r.arrivals.connect(start)
			video := &source{ssrc: 2}
			picture := pictures(t, testPictures)[0]
			for at := time.Duration(0); at < 30*time.Second; at += 20 * ms {
				now := start + at
				if at < cut {
					video.picture(t, r, now, at, picture)
				}
				if at < test.soundEnd {
					if err := r.packet(stream.Audio, 1, noRID, &packet{seq: uint16(at / (20 * ms)), timestamp: ticks(at, 48000), payload: []byte{1}, arrival: now}); err != nil {
						t.Fatal(err)
					}
				}
				if at < cut && at%(5*time.Second) == 0 {
					r.report(1, ntpAt(now), ticks(at, 48000), now)
				}
				if _, err := r.tick(now); err != nil {
					t.Fatal(err)
				}
			}
			if last := n.audio[len(n.audio)-1] - start; (last - test.want).Abs() > 200*ms {
				t.Errorf("the last sound is of %v, want %v", last, test.want)
			}
		})
	}
}

func TestPublisherWithoutItsPictureIsNoWholeLeg(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	e := s.publish(t, "/live/whip/primary", encoderOptions{})
	video := e.video
	e.video = nil // the track stays connected, and nothing comes of it
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		e.play(append(all, append(all, all...)...), stop)
	}()
	snapshot := func() stream.Snapshot { return s.registry.Stream(primary).Snapshot() }
	warned := func() bool {
		return slices.ContainsFunc(snapshot().Warnings, func(w stream.Warning) bool { return w.Code == "NoVideoPackets" })
	}
	eventually.True(t, "the warning", warned)
	if snap := snapshot(); !snap.Video.Announced || snap.Video.Fault == nil {
		t.Errorf("the video track is %+v", snap.Video)
	}
	close(stop)
	<-done
	e.video = video
	e.playFrom(600, all[:60])
	eventually.True(t, "the warning to be taken back", func() bool { return !warned() && snapshot().Video.Fault == nil })
}
