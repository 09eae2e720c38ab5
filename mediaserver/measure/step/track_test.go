package step

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/seeded"
)

func TestTrack(t *testing.T) {
	const ms = time.Millisecond
	r := seeded.Rand(t)
	// course gives the offset at a time of the primary.
	type course func(r *rand.Rand, at time.Duration) time.Duration
	drifting := func(ppm float64) course {
		return func(r *rand.Rand, at time.Duration) time.Duration {
			return 400*ms + time.Duration(ppm/1e6*float64(at)+r.NormFloat64()*float64(ms))
		}
	}
	tests := []struct {
		name     string
		course   course
		length   time.Duration
		want     float64 // ppm
		within   float64 // ppm
		low, top float64 // confidence
	}{
		{"half a minute is too little", drifting(100), 30 * time.Second, 0, 0, 0, 0},
		{"a minute says little", drifting(0), 70 * time.Second, 0, 60, 0.1, 0.6},
		{"5 minutes of 100 ppm", drifting(100), 5 * time.Minute, 100, 10, 0.75, 0.95},
		{"10 minutes of 100 ppm", drifting(100), 10 * time.Minute, 100, 5, 0.9, 1},
		{"10 minutes without drift", drifting(0), 10 * time.Minute, 0, 5, 0.9, 1},
		{"an hour: the last 10 minutes count", drifting(-30), time.Hour, -30, 5, 0.9, 1},
		{"each fifth offset is wrong", func(r *rand.Rand, at time.Duration) time.Duration {
			if at/(5*time.Second)%5 == 4 {
				return 5 * time.Second
			}
			return drifting(100)(r, at)
		}, 10 * time.Minute, 100, 5, 0.9, 1},
		{"the offset jumps at 5 minutes", func(r *rand.Rand, at time.Duration) time.Duration {
			if at > 5*time.Minute {
				return drifting(100)(r, at) + 3*time.Second
			}
			return drifting(100)(r, at)
		}, 10 * time.Minute, 100, 10, 0.75, 0.95},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var track track
			for at := time.Duration(0); at <= tt.length; at += 5 * time.Second {
				track.add(at, tt.course(r, at))
			}
			ppm, confidence := track.drift()
			if math.Abs(ppm-tt.want) > tt.within || confidence < tt.low || confidence > tt.top {
				t.Errorf("%.1f ppm with confidence %.2f, want %.0f ± %.0f with %.2f to %.2f", ppm, confidence, tt.want, tt.within, tt.low, tt.top)
			}
		})
	}
}

func TestTrackIsBounded(t *testing.T) {
	var track track
	for at := time.Duration(0); at <= time.Hour; at += 100 * time.Millisecond {
		track.add(at, time.Second)
	}
	if n := len(track.points); n > trackMost {
		t.Errorf("%d offsets are kept, want at most %d", n, trackMost)
	}
}
