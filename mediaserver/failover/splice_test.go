package failover

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawTime(t *rapid.T, name string) time.Duration {
	return time.Duration(rapid.Int64Range(int64(time.Second), int64(48*time.Hour)).Draw(t, name))
}

func TestTimelineOnlyMovesForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var line timeline
		var last time.Duration
		check := func(at time.Duration) {
			if last != 0 && at < last+tick {
				t.Fatalf("%v after %v: less than a tick", at, last)
			}
			last = at
		}
		t.Repeat(map[string]func(*rapid.T){
			"live": func(t *rapid.T) {
				pts := drawTime(t, "pts")
				before := last
				check(line.live(pts))
				if pts >= before+tick && last != pts {
					t.Fatalf("a picture of %v was given %v", pts, last)
				}
			},
			"next live": func(t *rapid.T) {
				check(line.live(last + time.Duration(rapid.Int64Range(-int64(50*ms), int64(50*ms)).Draw(t, "step"))))
			},
			"burst": func(t *rapid.T) {
				pictures, newest := drawGOP(t)
				line.burst(newest)
				for _, pts := range pictures {
					check(line.live(pts))
				}
			},
		})
	})
}

// drawGOP draws the times of the pictures of a GOP.
func drawGOP(t *rapid.T) (pictures []time.Duration, newest time.Duration) {
	newest = drawTime(t, "newest")
	n := rapid.IntRange(1, 700).Draw(t, "pictures")
	frame := time.Duration(rapid.Int64Range(int64(tick), int64(time.Second)).Draw(t, "frame"))
	for i := range n {
		pictures = append(pictures, newest-frame*time.Duration(n-1-i))
	}
	return pictures, newest
}

func TestBurstLandsOnTheLiveEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := timeline{last: drawTime(t, "last")}
		if rapid.IntRange(0, 9).Draw(t, "first") == 0 {
			line.last = 0
		}
		from := line.last
		pictures, newest := drawGOP(t)
		line.burst(newest)
		for i, pts := range pictures {
			at := line.live(pts)
			if most := max(newest, from+time.Duration(i+1)*tick); at > most {
				t.Fatalf("picture %d is ahead of the clock by %v", i, at-most)
			}
			if at < pts {
				t.Fatalf("picture %d is at %v, before its time %v", i, at, pts)
			}
		}
	})
}

func TestBurst(t *testing.T) {
	const last = 100 * time.Second
	tests := []struct {
		name   string
		last   time.Duration
		newest time.Duration // the last of 50 pictures, 40 ms apart
		stale  int           // how many pictures follow each other a tick apart
		first  time.Duration
	}{
		{"a failover of 90 ms: the last three have their own time", last, last + 90*ms, 47, last + tick},
		{"half a second of silence: those after the last have their own time", last, last + 500*ms, 37, last + tick},
		{"a second of silence: receivers would take all of them for late", last, last + time.Second, 43, last + time.Second - holeEdge + tick},
		{"five seconds of silence: receivers still know the clock", last, last + 5*time.Second, 43, last + 5*time.Second - holeEdge + tick},
		{"no time has passed", last, last, 50, last + tick},
		{"the other leg's clock lags", last, last - time.Second, 50, last + tick},
		{"a minute of silence: receivers begin anew", last, last + time.Minute, 49, last + time.Minute - newEdge + tick},
		{"nothing before", 0, 3 * time.Second, 49, 3*time.Second - newEdge + tick},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := timeline{last: tt.last}
			line.burst(tt.newest)
			for i := range 50 {
				pts := tt.newest - time.Duration(49-i)*40*ms
				want := pts
				if i < tt.stale {
					want = tt.first + time.Duration(i)*tick
				}
				if at := line.live(pts); at != want {
					t.Errorf("picture %d is at %v, want %v", i, at, want)
				}
			}
		})
	}
}

func TestBurstOrNextIDR(t *testing.T) {
	const now = 100 * time.Second
	tests := []struct {
		name              string
		burst             time.Duration
		lastIDR, interval time.Duration
		want              bool
	}{
		{"one IDR only: nothing tells when the next comes", time.Second, now - time.Second, 0, true},
		{"the next is further than the burst takes", 100 * ms, now - time.Second, 2 * time.Second, true},
		{"the next is nearer than the burst takes", 100 * ms, now - 1950*ms, 2 * time.Second, false},
		{"the next is overdue", 100 * ms, now - 2100*ms, 2 * time.Second, true},
		{"the burst takes no time", 0, now - 2*time.Second, 2 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := burstIsSooner(tt.burst, tt.lastIDR, tt.interval, now); got != tt.want {
				t.Errorf("burst is sooner: %v, want %v", got, tt.want)
			}
		})
	}
}
