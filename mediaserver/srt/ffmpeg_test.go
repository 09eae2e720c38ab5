package srt

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// publish starts ffmpeg.
func (h *harness) publish(spec mediatest.Spec, url string, args ...string) *mediatest.Publisher {
	h.Helper()
	input := []string{"-re", "-stream_loop", "-1", "-i", mediatest.File(h, spec), "-c", "copy"}
	return mediatest.Start(h, slices.Concat(input, args, []string{"-f", "mpegts", url})...)
}

func TestFFmpegPublishes(t *testing.T) {
	mediatest.SkipInShort(t)
	type test struct {
		spec     mediatest.Spec
		args     []string
		url      func(h *harness) string
		key      stream.Key
		noSound  bool
		warnings []string
		check    func(*testing.T, stream.Snapshot)
	}
	withToken := func(h *harness) string { return h.url("publish:live/primary:TOKEN") }
	for name, test := range map[string]test{
		"H.264 and AAC": {
			spec: mediatest.Spec{Container: "ts"}, url: withToken, key: primary,
			check: func(t *testing.T, s stream.Snapshot) {
				if f := s.Video.Format; f.Width != 320 || f.Height != 180 || f.Reordered {
					t.Errorf("picture %+v", f)
				}
				if f := s.Audio.Format; f.Codec != stream.AAC || f.SampleRate != 48000 || f.Channels != 2 {
					t.Errorf("sound %+v", f)
				}
			},
		},
		"B-frames, encrypted, AES-256": {
			spec: mediatest.Spec{Container: "ts", BFrames: true, SampleRate: 44100}, key: secret,
			url: func(h *harness) string {
				return h.url("%23!::m=publish,r=live/secret", "passphrase="+passphrase, "pbkeylen=32")
			},
			check: func(t *testing.T, s stream.Snapshot) {
				if !s.Video.Format.Reordered || s.Audio.Format.SampleRate != 44100 {
					t.Errorf("%+v, %+v", s.Video.Format, s.Audio.Format)
				}
			},
		},
		"Opus": {
			spec: mediatest.Spec{Container: "ts", AudioCodec: "libopus"}, url: withToken, key: primary,
			check: func(t *testing.T, s stream.Snapshot) {
				if f := s.Audio.Format; f.Codec != stream.Opus || f.Channels != 2 {
					t.Errorf("sound %+v", f)
				}
			},
		},
		"no sound": {
			spec: mediatest.Spec{Container: "ts", NoAudio: true}, url: withToken, key: primary, noSound: true,
		},
		"AAC in LATM": {
			spec: mediatest.Spec{Container: "ts"}, args: []string{"-mpegts_flags", "latm"}, url: withToken, key: primary, noSound: true,
			warnings: []string{feed.WarningUnsupportedAudio},
		},
		"MPEG audio": {
			spec: mediatest.Spec{Container: "ts", AudioCodec: "mp2"}, url: withToken, key: primary, noSound: true,
			warnings: []string{feed.WarningUnsupportedAudio},
		},
		"AC-3": {
			spec: mediatest.Spec{Container: "ts", AudioCodec: "ac3"}, url: withToken, key: primary, noSound: true,
			warnings: []string{feed.WarningUnsupportedAudio},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			sub := h.registry.Stream(test.key).Subscribe(1000)
			defer sub.Close()
			p := h.publish(test.spec, test.url(h), test.args...)
			pictures, sounds := 0, 0
			timeout := time.After(patience)
			for pictures < 90 || sounds < 90 && !test.noSound {
				select {
				case u := <-sub.C:
					if u.Kind == stream.Video {
						pictures++
					} else {
						sounds++
					}
				case <-timeout:
					t.Fatalf("%d pictures and %d frames of sound", pictures, sounds)
				}
			}
			s := h.registry.Stream(test.key).Snapshot()
			var codes []string
			for _, w := range s.Warnings {
				codes = append(codes, w.Code)
			}
			if !slices.Equal(codes, test.warnings) {
				t.Errorf("warnings %v, want %v", s.Warnings, test.warnings)
			}
			if test.check != nil {
				test.check(t, s)
			}
			if stats, ok := h.server.Stats(test.key); !ok || stats.Received == 0 || stats.Latency != 120*time.Millisecond {
				t.Errorf("figures %+v", stats)
			}
			p.Stop()
			eventually.True(t, "the shutdown is noticed", func() bool { return !h.isPublished(test.key) })
		})
	}
}
