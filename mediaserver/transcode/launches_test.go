package transcode

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLaunchesAreLimited(t *testing.T) {
	tests := map[string]struct {
		every time.Duration // between two times at which a launch is wanted
		until time.Duration
		want  []time.Duration // when a launch happens
	}{
		"parameters that change with each picture": {
			40 * time.Millisecond, 70 * time.Second,
			[]time.Duration{0, 40, 80, 120, 640, 1640, 3640, 7640, 15640, 31640, 61640},
		},
		"one that is set up":             {2 * time.Second, 6 * time.Second, []time.Duration{0, 2000, 4000, 6000}},
		"a change now and then":          {40 * time.Second, 200 * time.Second, []time.Duration{0, 40000, 80000, 120000, 160000, 200000}},
		"wanted again as soon as it may": {30 * time.Second, 150 * time.Second, []time.Duration{0, 30000, 60000, 90000, 120000, 150000}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var l launches
			zero := time.Unix(1000, 0)
			var got []time.Duration
			for at := time.Duration(0); at <= tt.until; at += tt.every {
				if now := zero.Add(at); l.allowed(now) {
					l.count(now)
					got = append(got, at/time.Millisecond)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTheLimitOfLaunchesIsForgotten(t *testing.T) {
	var l launches
	now := time.Unix(1000, 0)
	for range 100 {
		l.count(now)
	}
	if l.allowed(now.Add(maxDelay-1)) || !l.allowed(now.Add(maxDelay)) {
		t.Errorf("the longest delay is %v", l.next.Sub(now))
	}
	now = l.next.Add(stableAfter)
	l.count(now)
	if !l.allowed(now) {
		t.Error("a change after a long time has to wait")
	}
}
