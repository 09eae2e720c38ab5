package feed

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestTracksThatAreAnnouncedAndDoNotCome(t *testing.T) {
	message := func(key bool, nalu ...byte) []byte { return flv.AppendVideo(nil, key, 0, [][]byte{nalu}) }
	sei := message(false, 6, 5, 1, 0, 0x80)
	later := message(false, 0x41, 0x46, 0x84)
	inter := message(false, 0x41, 0x9a, 0x24)
	// A phase is what an encoder sends every 20 ms for some time.
	type phase struct {
		length       time.Duration
		video, audio []byte
		every        time.Duration // of video; 0: 20 ms
	}
	for name, tt := range map[string]struct {
		phases       []phase
		video, audio string // code of the fault
	}{
		"both come":                      {phases: []phase{{6 * time.Second, inter, aacFrame(), 0}}},
		"no video yet":                   {phases: []phase{{4 * time.Second, nil, aacFrame(), 0}}},
		"no video":                       {phases: []phase{{7 * time.Second, nil, aacFrame(), 0}}, video: "NoVideoPackets"},
		"SEI alone":                      {phases: []phase{{7 * time.Second, sei, aacFrame(), 0}}, video: "NoPicture"},
		"SEI alone and nothing else":     {phases: []phase{{7 * time.Second, sei, nil, 0}}, video: "NoPicture", audio: "NoAudioPackets"},
		"later slices alone":             {phases: []phase{{7 * time.Second, later, aacFrame(), 0}}, video: WarningMalformedVideo},
		"no sound":                       {phases: []phase{{7 * time.Second, inter, nil, 0}}, audio: "NoAudioPackets"},
		"the picture comes back":         {phases: []phase{{7 * time.Second, nil, aacFrame(), 0}, {2 * time.Second, message(true, 0x65, 0x88, 0x80), aacFrame(), 0}}},
		"a cut, and sound comes first":   {phases: []phase{{time.Minute, nil, nil, 0}, {time.Second, nil, aacFrame(), 0}}},
		"many cuts, and never a picture": {phases: slices.Repeat([]phase{{10 * time.Second, nil, nil, 0}, {time.Second, nil, aacFrame(), 0}}, 4), video: "NoVideoPackets"},
		"a picture in eight seconds":     {phases: []phase{{60 * time.Second, inter, aacFrame(), 8 * time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := newFeed(t)
				timestamp := uint32(0)
				send := func(write func(uint32, []byte) error, body []byte) {
					t.Helper()
					if err := write(timestamp, body); err != nil {
						t.Fatal(err)
					}
				}
				send(f.Video, videoConfig(t))
				send(f.Audio, aacConfig())
				send(f.Video, idr())
				send(f.Audio, aacFrame())
				for _, p := range tt.phases {
					const tick = 20 * time.Millisecond
					for at := time.Duration(0); at < p.length; at += tick {
						time.Sleep(tick)
						timestamp += uint32(tick.Milliseconds())
						if p.video != nil && at%max(p.every, tick) == 0 {
							send(f.Video, slices.Clone(p.video))
						}
						if p.audio != nil {
							send(f.Audio, p.audio)
						}
					}
				}
				snap := f.Publication().Stream().Snapshot()
				for _, track := range []struct {
					fault *stream.Fault
					want  string
				}{{snap.Video.Fault, tt.video}, {snap.Audio.Fault, tt.audio}} {
					got := ""
					if track.fault != nil {
						got = track.fault.Code
					}
					if got != track.want {
						t.Errorf("fault %q, want %q", got, track.want)
					}
				}
				f.Publication().End(stream.EndClosed)
			})
		})
	}
}
