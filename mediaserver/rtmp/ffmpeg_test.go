package rtmp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// received counts what a subscriber gets. It checks the rules that hold for all access units.
type received struct {
	video, audio, idr int
	units             []*stream.AccessUnit
}

// receive takes access units until enough returns true.
func (h *harness) receive(sub *stream.Subscription, enough func(*received) bool) *received {
	h.Helper()
	r := &received{}
	timeout := time.After(patience)
	for !enough(r) {
		select {
		case u := <-sub.C:
			r.units = append(r.units, u)
			switch {
			case u.Kind == stream.Audio:
				r.audio++
			case u.IDR:
				r.idr++
				r.video++
			default:
				r.video++
			}
			if u.DTS > u.Arrival {
				h.Errorf("access unit %d is %v ahead of its arrival", u.Seq, u.DTS-u.Arrival)
			}
		case <-timeout:
			h.Fatalf("only %d pictures, %d of them IDR, and %d audio frames within %v", r.video, r.idr, r.audio, patience)
		}
	}
	return r
}

func (h *harness) subscribe(k stream.Key) *stream.Subscription {
	sub := h.registry.Stream(k).Subscribe(1000)
	h.Cleanup(sub.Close)
	return sub
}

func TestFFmpegPublishes(t *testing.T) {
	for name, test := range map[string]struct {
		spec   mediatest.Spec
		args   []string
		enough func(*received) bool
		check  func(*testing.T, stream.Snapshot)
	}{
		"H.264 and AAC": {
			spec:   mediatest.Spec{GOP: time.Second},
			enough: func(r *received) bool { return r.video >= 60 && r.audio >= 80 && r.idr >= 2 },
			check: func(t *testing.T, s stream.Snapshot) {
				if f := s.Video.Format; f.Width != 320 || f.Height != 180 || f.Reordered {
					t.Errorf("video format %+v", f)
				}
				if f := s.Audio.Format; f.Codec != stream.AAC || f.SampleRate != 48000 || f.Channels != 2 {
					t.Errorf("audio format %+v", f)
				}
			},
		},
		"B-frames at 44.1 kHz from an mp4": {
			spec:   mediatest.Spec{BFrames: true, SampleRate: 44100, Container: "mp4"},
			enough: func(r *received) bool { return r.video >= 60 && r.audio >= 60 },
			check: func(t *testing.T, s stream.Snapshot) {
				if !s.Video.Format.Reordered || s.Audio.Format.SampleRate != 44100 {
					t.Errorf("formats %+v, %+v", s.Video.Format, s.Audio.Format)
				}
			},
		},
		"one frame a second": {
			spec:   mediatest.Spec{FPS: "1", NoAudio: true},
			enough: func(r *received) bool { return r.video >= 4 },
			check: func(t *testing.T, s stream.Snapshot) {
				if s.Audio.Announced {
					t.Error("an audio track is announced")
				}
			},
		},
		"audio only": {
			spec:   mediatest.Spec{NoVideo: true, Channels: 1},
			enough: func(r *received) bool { return r.audio >= 60 },
			check: func(t *testing.T, s stream.Snapshot) {
				if s.Video.Announced || s.Audio.Format.Channels != 1 {
					t.Errorf("video announced: %v, audio format %+v", s.Video.Announced, s.Audio.Format)
				}
			},
		},
		"a looped file": {
			spec:   mediatest.Spec{Duration: 2 * time.Second, GOP: time.Second},
			args:   []string{"-stream_loop", "-1"},
			enough: func(r *received) bool { return r.video >= 150 && r.audio >= 200 },
		},
		"timestamps above 16,777 s": {
			spec:   mediatest.Spec{Duration: 6 * time.Second, GOP: time.Second},
			args:   []string{"-itsoffset", "20000"},
			enough: func(r *received) bool { return r.video >= 90 && r.audio >= 100 },
		},
		"timestamps that pass 16,777 s": {
			spec:   mediatest.Spec{Duration: 8 * time.Second, GOP: time.Second},
			args:   []string{"-itsoffset", "16775"},
			enough: func(r *received) bool { return r.video >= 150 && r.audio >= 200 },
		},
		"timestamps that wrap at 32 bit": {
			spec:   mediatest.Spec{Duration: 8 * time.Second, GOP: time.Second},
			args:   []string{"-itsoffset", "4294965"},
			enough: func(r *received) bool { return r.video >= 150 && r.audio >= 200 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			sub := h.subscribe(live)
			mediatest.Publish(t, mediatest.File(t, test.spec), h.url("/live/primary"), test.args...)
			r := h.receive(sub, test.enough)
			// The clock is continuous and never jumps, whatever the publisher's timestamps do.
			var last [2]time.Duration
			for _, u := range r.units {
				if d := u.DTS - last[u.Kind]; last[u.Kind] != 0 && (d < -200*time.Millisecond || d > 2*time.Second) {
					t.Errorf("%v jumps by %v", u.Kind, d)
				}
				last[u.Kind] = u.DTS
			}
			if test.check != nil {
				test.check(t, h.registry.Stream(live).Snapshot())
			}
		})
	}
}

func TestALostPublisherIsSeenAtOnce(t *testing.T) {
	for name, end := range map[string]func(*mediatest.Publisher){
		"killed":  (*mediatest.Publisher).Kill,
		"stopped": (*mediatest.Publisher).Stop,
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			sub := h.subscribe(live)
			p := mediatest.Publish(t, mediatest.File(t, mediatest.Spec{}), h.url("/live/primary"))
			h.receive(sub, func(r *received) bool { return r.video >= 10 })
			end(p)
			ended := time.Now()
			eventually.True(h, "the publication ends", func() bool { return h.registry.Stream(live).Snapshot().Publication == nil })
			t.Logf("seen %v after ffmpeg's end", time.Since(ended).Round(time.Millisecond))
		})
	}
}

func TestTakeoverTellsTheIncumbent(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	file := mediatest.File(t, mediatest.Spec{GOP: time.Second})
	first := mediatest.Publish(t, file, h.url("/live/primary"))
	h.receive(sub, func(r *received) bool { return r.video >= 10 })
	before := h.registry.Stream(live).Snapshot().Publication.ID
	mediatest.Publish(t, file, h.url("/live/primary"))
	eventually.True(h, "the second publishes", func() bool {
		p := h.registry.Stream(live).Snapshot().Publication
		return p != nil && p.ID != before
	})
	select {
	case <-first.Exited():
	case <-time.After(patience):
		t.Fatal("the first ffmpeg goes on")
	}
	if !strings.Contains(first.Output(), stream.ErrTakenOver.Error()) {
		t.Errorf("the first ffmpeg was not told: %s", first.Output())
	}
	h.receive(sub, func(r *received) bool { return r.video >= 30 })
}

func TestRTMPSAndTokens(t *testing.T) {
	h := start(t, func(c *Config) {
		c.TLSAddress, c.TLSConfig = "127.0.0.1:0", selfSigned(t)
		c.Authorize = func(key stream.Key, token string) (bool, error) {
			if token != "secret" {
				return false, errors.New("the token is missing or wrong")
			}
			return true, nil
		}
	})
	file := mediatest.File(t, mediatest.Spec{})
	secure := "rtmps://" + h.server.TLSAddr().String()

	refused := mediatest.Publish(t, file, secure+"/live/primary?token=guess")
	select {
	case <-refused.Exited():
	case <-time.After(patience):
		t.Fatal("ffmpeg goes on with a wrong token")
	}
	if want := "publishing live/primary is refused: the token is missing or wrong"; !strings.Contains(refused.Output(), want) {
		t.Errorf("ffmpeg was not told %q: %s", want, refused.Output())
	}
	if n := h.publishRefusals(ReasonUnauthorized); n != 1 {
		t.Errorf("%d refusals counted", n)
	}
	sub := h.subscribe(live)
	mediatest.Publish(t, file, secure+"/live/primary?token=secret")
	h.receive(sub, func(r *received) bool { return r.video >= 30 && r.audio >= 30 })
}

func TestUnsupportedCodecsAreRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"Sorenson H.263": {[]string{"-f", "lavfi", "-i", "testsrc2=s=352x288", "-c:v", "flv1"}, "video codec Sorenson H.263 is not supported; set the encoder to H.264"},
		"MP3":            {[]string{"-f", "lavfi", "-i", "sine", "-c:a", "libmp3lame", "-ar", "44100"}, "audio codec MP3 is not supported; set the encoder to AAC"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits as long as a publication may send nothing
			h := start(t, nil)
			args := append([]string{"-re"}, test.args...)
			p := mediatest.Start(t, append(args, "-f", "flv", h.url("/live/primary"))...)
			select {
			case <-p.Exited():
			case <-time.After(patience):
				t.Fatal("ffmpeg goes on")
			}
			if !strings.Contains(p.Output(), test.want) {
				t.Errorf("ffmpeg was not told %q: %s", test.want, p.Output())
			}
			if n := h.publishRefusals(ReasonUnsupportedCodec); n != 1 {
				t.Errorf("%d refusals counted", n)
			}
		})
	}
}
