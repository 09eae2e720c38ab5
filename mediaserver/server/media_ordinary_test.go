package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// Here streams of every ordinary kind are the primary of a pair. Each
// must play. A plain backup must replace it when its encoder is killed,
// and the stream must return when the backup's encoder is killed.
func TestOrdinaryStreamsPlayAndSwitch(t *testing.T) {
	wrap := time.Duration(1<<32) * ms // RTMP counts 32 bits of milliseconds
	tests := []struct {
		name      string
		programme mediatest.Programme
		options   mediatest.ReplayOptions
		act       func(*mediatest.Replayer) // done while it is on air
		file      bool                      // looped by ffmpeg, from a file
		again     *mediatest.Programme      // the programme after the encoder's return; default: the same
	}{
		{name: "one picture a second", programme: mediatest.Programme{FPS: 1}},
		{name: "a GOP of ten seconds", programme: mediatest.Programme{Duration: 40 * time.Second, GOP: 10 * time.Second}},
		{name: "no picture", programme: mediatest.Programme{NoVideo: true}},
		{name: "sound in 5.1", programme: mediatest.Programme{Channels: 6}},
		{name: "sound in 7.1", programme: mediatest.Programme{Channels: 8, SampleRate: 44100}},
		{name: "no sound", programme: mediatest.Programme{NoAudio: true}},
		{name: "another size and profile when it returns", again: &mediatest.Programme{Width: 960, Height: 540, Profile: "main", SampleRate: 44100}},
		{name: "timestamps that jump ahead", act: func(r *mediatest.Replayer) { r.Jump(time.Hour) }},
		{name: "timestamps that jump back", options: mediatest.ReplayOptions{Timestamp: 5 * time.Hour}, act: func(r *mediatest.Replayer) { r.Jump(-time.Hour) }},
		{name: "timestamps that wrap", options: mediatest.ReplayOptions{Timestamp: wrap - 3*time.Second}},
		{name: "timestamps that become extended", options: mediatest.ReplayOptions{Timestamp: 1<<24*ms - 3*time.Second}},
		{name: "a file, looped", programme: mediatest.Programme{Duration: 2 * time.Second, GOP: time.Second}, file: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky)
			publish := func(p mediatest.Programme) publisher {
				if tt.file {
					return mediatest.Publish(t, file(t, p), s.publishURL("primary"), "-stream_loop", "-1")
				}
				return s.replay("primary", p, tt.options)
			}
			primary := publish(tt.programme)
			s.onAir("primary", true, false)
			// Sound alone cannot replace a picture, so the other leg has no picture either.
			other := mediatest.Programme{Leg: 1, NoVideo: tt.programme.NoVideo}
			phased := other
			phased.GOPPhase = 700 * ms
			backup := s.replay("backup", phased, mediatest.ReplayOptions{})
			s.onAir("primary", true, true)
			v := s.watchPair()
			v.plays(tt.programme, time.Time{}, time.Second)
			if tt.act != nil {
				tt.act(primary.(*mediatest.Replayer))
			}
			v.plays(tt.programme, time.Now(), 3*time.Second)

			killed := time.Now()
			primary.Kill()
			v.plays(other, killed, time.Second)
			again := tt.programme
			if tt.again != nil {
				again = *tt.again
			}
			publish(again)
			s.onAir("backup", true, true)
			v.hears(time.Second, time.Now())
			killedBackup := time.Now()
			backup.Kill()
			s.onAir("primary", true, false)
			v.plays(again, killedBackup, 2*time.Second)

			if p := s.pair("sunday"); p.Switches != 2 {
				t.Errorf("%d switches, want 2", p.Switches)
			}
			r := v.leaves()
			r.isContinuous()
			if !tt.programme.NoAudio {
				r.hasSound(maxSilence, r.soundBegins())
			}
			if !tt.programme.NoVideo && !tt.programme.NoAudio && tt.programme.FPS == 0 {
				r.isInSync(3, 300*ms, 300*ms)
			}
			if tt.again != nil {
				r.changes("High 640x360, Main 960x540")
			}
			gap := mediatest.LongestGap(r.sightings, killed, killed.Add(maxGap))
			t.Logf("%d pictures, %d packets of sound; longest gap after the kill %v", len(r.sightings), r.audio.Count, gap.Round(ms))
		})
	}
}

// plays waits until the viewer has received a programme's pictures and
// sound for the time d. If the programme has no sound, there is silence.
func (v *viewer) plays(p mediatest.Programme, since time.Time, d time.Duration) {
	v.t.Helper()
	if !p.NoVideo {
		rate := p.FPS
		if rate == 0 {
			rate = fps
		}
		v.sees(p.Leg, int(d.Seconds()*float64(rate)), since)
	}
	v.hears(d, since)
}

// changes checks the sequence of the pictures' profiles and sizes.
func (r reception) changes(want string) {
	r.t.Helper()
	var got []string
	for _, p := range r.video.Pictures {
		if !p.IDR {
			continue
		}
		var sps h264.SPS
		raw, _, _ := bytes.Cut(bytes.TrimPrefix(p.AnnexB, []byte{0, 0, 0, 1}), []byte{0, 0, 0, 1})
		if err := sps.Unmarshal(raw); err != nil || !p.Parameters {
			r.t.Fatalf("an IDR does not begin with its parameter sets (%v)", err)
		}
		profile := map[uint8]string{77: "Main", 100: "High"}[sps.ProfileIdc]
		if now := fmt.Sprintf("%s %dx%d", profile, sps.Width(), sps.Height()); len(got) == 0 || got[len(got)-1] != now {
			got = append(got, now)
		}
	}
	if all := strings.Join(got, ", "); all != want {
		r.t.Errorf("pictures are %s, want %s", all, want)
	}
}
