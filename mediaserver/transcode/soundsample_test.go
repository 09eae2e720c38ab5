package transcode

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/pcm"
)

func TestASampleOfSoundThatCannotBeDecoded(t *testing.T) {
	good := aac(t, tone, 48000, 2, 2)
	bad := spoilt(t, good)
	for name, tt := range map[string]struct {
		interval time.Duration // between frames; 0: 1024 samples at 48 kHz
		bad      func(n int) bool
		want     bool
		within   time.Duration
	}{
		"good":                 {bad: func(int) bool { return false }},
		"one bad in twenty":    {bad: func(n int) bool { return n%20 == 0 }},
		"all bad":              {bad: func(int) bool { return true }, want: true, within: 6 * time.Second},
		"every second bad":     {bad: func(n int) bool { return n%2 == 0 }, want: true, within: 12 * time.Second},
		"all bad, at 11025 Hz": {interval: 93 * time.Millisecond, bad: func(int) bool { return true }, want: true, within: 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := pcm.NewDecoder(good[0].Format)
			if err != nil {
				t.Fatal(err)
			}
			s := soundSample{decoder: d}
			interval := max(tt.interval, 1024*time.Second/48000)
			var at, since time.Duration
			for n := 0; at < 30*time.Second; n++ {
				frame := good[n%len(good)].Frame
				if tt.bad(n) {
					frame = bad[n%len(bad)].Frame
				}
				if at += interval; s.take(at, frame) {
					since = at
				}
			}
			if s.undecodable != tt.want || since > tt.within {
				t.Errorf("undecodable %v since %v, want %v within %v", s.undecodable, since, tt.want, tt.within)
			}
		})
	}
}
