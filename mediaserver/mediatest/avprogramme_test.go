package mediatest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/server"
	"github.com/streampair/streampair/mediaserver/transcode"
)

// patience is how long a test waits for something that should take a moment.
const patience = eventually.Patience

// annexB returns the tape's pictures in Annex B format.
func annexB(t *testing.T, tape *Tape) [][]byte {
	t.Helper()
	var units [][]byte
	start := []byte{0, 0, 0, 1}
	var parameters []byte
	for _, h := range tape.headers {
		if h.tag != flv.VideoTag {
			continue
		}
		p, err := flv.ParseVideo(h.body)
		if err != nil {
			t.Fatal(err)
		}
		c, err := flv.ParseAVCConfig(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		parameters = append(append(append(append(parameters, start...), c.SPS[0]...), start...), c.PPS[0]...)
	}
	for _, m := range tape.track(flv.VideoTag) {
		p, err := flv.ParseVideo(m.body)
		if err != nil {
			t.Fatal(err)
		}
		nalus, err := flv.SplitAVCC(p.Data, 4)
		if err != nil {
			t.Fatal(err)
		}
		var unit []byte
		if m.key {
			unit = append(unit, parameters...)
		}
		for _, nalu := range nalus {
			unit = append(append(unit, start...), nalu...)
		}
		units = append(units, unit)
	}
	return units
}

func TestProgrammesCanBeRead(t *testing.T) {
	tests := map[string]Programme{
		"default":            {Duration: 2 * time.Second},
		"another leg, small": {Leg: 1, Duration: 2 * time.Second, Width: 320, Height: 180},
		"noise, third leg":   {Leg: 2, Duration: 2 * time.Second, BitrateBPS: 1_000_000, GOP: time.Second, GOPPhase: 400 * time.Millisecond},
		"one a second":       {Leg: 3, Duration: 4 * time.Second, FPS: 1},
	}
	for name, p := range tests {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			tape, err := p.Tape(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p = p.withDefaults()
			n := 0
			err = Decode(t.Context(), decoderWidth, decoderHeight, annexB(t, tape), func(m DecodedImage) {
				code, ok := m.TimeCode()
				if want := (TimeCode{p.Leg, n}); !ok || code != want || m.Unit != n {
					t.Errorf("picture %d of unit %d has %+v, %v", n, m.Unit, code, ok)
				}
				if want := n%p.FPS < max(1, p.FPS/10); m.Flash() != want {
					t.Errorf("picture %d: flash %v", n, m.Flash())
				}
				got, want := m.Color(), LegColor(p.Leg)
				for _, d := range []int{int(got.Y) - int(want.Y), int(got.Cb) - int(want.Cb), int(got.Cr) - int(want.Cr)} {
					if d < -6 || d > 6 {
						t.Errorf("picture %d: colour %v, want %v", n, got, want)
					}
				}
				n++
			})
			if err != nil || n != p.Frames() {
				t.Errorf("%d pictures, want %d (%v)", n, p.Frames(), err)
			}
		})
	}
}

func TestDecoderTellsWhichUnitAPictureCameFrom(t *testing.T) {
	defer goleak.VerifyNone(t)
	tape, err := Programme{Duration: 2 * time.Second, GOP: time.Second}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	units := annexB(t, tape)
	// The input is the second GOP and what follows, then pictures of another size.
	other, err := Programme{Leg: 1, Duration: 2 * time.Second, Width: 320, Height: 180}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mixed := append(units[30:40:40], annexB(t, other)[:10]...)
	var got []int
	err = Decode(t.Context(), decoderWidth, decoderHeight, mixed, func(m DecodedImage) {
		got = append(got, m.Unit)
		want := TimeCode{0, 30 + m.Unit}
		if m.Unit >= 10 {
			want = TimeCode{1, m.Unit - 10}
		}
		if code, ok := m.TimeCode(); !ok || code != want {
			t.Errorf("unit %d shows %+v, %v; want %+v", m.Unit, code, ok, want)
		}
	})
	if err != nil || len(got) != 20 {
		t.Errorf("%d pictures of 20 (%v)", len(got), err)
	}
}

func TestDecodeFileHasAllPicturesInOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	path, err := Programme{Duration: 2 * time.Second, BFrames: true}.File(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = DecodeFile(t.Context(), path, 640, 360, func(m Image) {
		if code, ok := m.TimeCode(); !ok || code != (TimeCode{0, n}) {
			t.Errorf("picture %d shows %+v, %v", n, code, ok)
		}
		n++
	})
	if err != nil || n != 60 {
		t.Errorf("%d pictures of 60 (%v)", n, err)
	}
	if err := DecodeFile(t.Context(), path+".none", 640, 360, func(Image) {}); err == nil {
		t.Error("decoded a file that is not there")
	}
}

// startServer runs a whole media server until the test ends.
func startServer(t *testing.T) *server.Server {
	t.Helper()
	const free = "127.0.0.1:0"
	s, err := server.New(server.Config{
		Config: config.Config{
			RTMPAddress: free, HTTPAddress: free, WebRTCAddress: free, ProbeAddress: free, ControlAddress: free,
			MaxViewers: 10, MaxTranscodes: 4,
		},
		FFmpegPath: transcode.FindFFmpeg(),
		Logger:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended: %v", err)
		}
	})
	return s
}

// The instruments measure a failover of the real server. The test logs the
// measurements. It asserts only what shows that the instruments work.
func TestInstrumentsMeasureAFailover(t *testing.T) {
	for name, options := range map[string]WatchOptions{"UDP": {Decode: true}, "TCP": {Decode: true, TCP: true}} {
		t.Run(name, func(t *testing.T) { measureFailover(t, options) })
	}
}

func measureFailover(t *testing.T, options WatchOptions) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := startServer(t)
	epoch := time.Now().Add(200 * time.Millisecond)
	publish := func(leg int, id string, o ReplayOptions) *Replayer {
		tape, err := Programme{Leg: leg, GOPPhase: time.Duration(leg) * 700 * time.Millisecond}.Tape(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o.Epoch = epoch
		r, err := Replay(t.Context(), "rtmp://"+s.Addresses().RTMP+"/live/"+id, tape, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Kill)
		return r
	}
	primary := publish(0, "primary", ReplayOptions{})
	publish(1, "backup", ReplayOptions{AudioDelay: 400 * time.Millisecond, Timestamp: 5 * time.Hour})
	v, err := WatchWHEP(t.Context(), "http://"+s.Addresses().HTTP+"/live/whep/primary?backupStreamId=backup", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	t.Cleanup(func() {
		video := v.Video()
		t.Logf("in all: %d pictures, %d decoded, %d packets, %d broken, %d gaps", len(video.Pictures), len(v.Sightings()), video.Count, video.Broken, video.SequenceGaps())
	})
	seen := func(leg int) int {
		n := 0
		for _, s := range v.Sightings() {
			if s.Leg == leg {
				n++
			}
		}
		return n
	}
	eventually.True(t, "4 s of the primary", func() bool { return seen(0) >= 120 })
	killed := time.Now()
	primary.Kill()
	if err := primary.Err(); err != nil {
		t.Error("primary:", err)
	}
	eventually.True(t, "4 s of the backup", func() bool { return seen(1) >= 120 && time.Since(killed) > 4*time.Second })
	// The last report may come a second later.
	eventually.True(t, "reports of both tracks", func() bool { return len(v.Video().Reports) > 2 && len(v.Audio().Reports) > 2 })
	v.Close()

	video, audio, sightings := v.Video(), v.Audio(), v.Sightings()
	sound, err := audio.Sound()
	if err != nil {
		t.Fatal(err)
	}
	// Each leg's beeps are compared with that leg's own pictures. At a switch of legs
	// both may be away from their places.
	skews := Skews(sightings, sound.Beeps(), 30)
	first, ok := FirstCurrent(sightings, 1, killed, 300*time.Millisecond, func(s Sighting) time.Duration {
		return Age(s, epoch, 30, 8*time.Second)
	})
	if !ok {
		t.Fatal("no current picture of the backup was seen")
	}
	t.Logf("kill to a current picture %v, longest gap %v", first.Seen.Sub(killed), LongestGap(sightings, killed, killed.Add(3*time.Second)))
	t.Logf("skews %v, silences %v", skews, sound.Silences(20*time.Millisecond))
	t.Logf("video %d packets, %d pictures, %d broken, %d gaps, %d reports; audio %d packets, %d gaps; SSRCs %v %v",
		video.Count, len(video.Pictures), video.Broken, video.SequenceGaps(), len(video.Reports), audio.Count, audio.SequenceGaps(), video.SSRCs, audio.SSRCs)

	if len(sightings) != len(video.Pictures) {
		t.Errorf("%d pictures of %d were decoded", len(sightings), len(video.Pictures))
	}
	for _, s := range sightings {
		if s.Frame < 0 {
			t.Error("a picture has no readable time code")
		}
		if s.Presented.IsZero() || s.Seen.Sub(s.Presented).Abs() > 5*time.Second {
			t.Errorf("frame %d is presented at %v, seen at %v", s.Frame, s.Presented, s.Seen)
		}
	}
	if len(skews) < 3 {
		t.Errorf("%d beeps were heard with their pictures", len(skews))
	}
	if len(video.SSRCs) != 1 || len(audio.SSRCs) != 1 || video.Bytes == 0 {
		t.Errorf("SSRCs %v and %v", video.SSRCs, audio.SSRCs)
	}
}
