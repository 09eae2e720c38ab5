package rtmp

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// FFmpeg 8 sends further tracks by Enhanced RTMP, and codecs that plain FLV does not have.
func TestFFmpeg8Publishes(t *testing.T) {
	for name, tt := range map[string]struct {
		spec     mediatest.Spec
		args     []string
		codec    stream.Codec
		warnings []string
	}{
		"AAC":              {spec: mediatest.Spec{}, codec: stream.AAC},
		"Opus":             {spec: mediatest.Spec{Container: "mkv", AudioCodec: "libopus"}, codec: stream.Opus},
		"two audio tracks": {spec: mediatest.Spec{}, args: []string{"--second-audio"}, codec: stream.AAC, warnings: []string{feed.WarningMultitrack}},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			sub := h.subscribe(live)
			tt.spec.Duration = 20 * time.Second
			mediatest.PublishFFmpeg8(t, mediatest.File(t, tt.spec), "flv", h.url("/live/primary"), tt.args...)
			got := h.receive(sub, func(r *received) bool { return r.video >= 60 && r.audio >= 100 })
			for _, u := range got.units {
				if u.Kind == stream.Audio && u.Format.Codec != tt.codec {
					t.Fatalf("the sound is %v, want %v", u.Format.Codec, tt.codec)
				}
			}
			var codes []string
			for _, w := range h.registry.Stream(live).Snapshot().Warnings {
				codes = append(codes, w.Code)
			}
			if !slices.Equal(codes, tt.warnings) {
				t.Errorf("warnings %v, want %v", codes, tt.warnings)
			}
		})
	}
}
