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
				newest := drawTime(t, "newest")
				n := rapid.IntRange(1, 700).Draw(t, "pictures")
				for _, at := range line.burst(n, newest) {
					check(at)
				}
			},
		})
	})
}

func TestBurstLandsOnTheLiveEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := timeline{last: drawTime(t, "last")}
		if rapid.IntRange(0, 9).Draw(t, "first") == 0 {
			line.last = 0
		}
		n := rapid.IntRange(1, 700).Draw(t, "pictures")
		passed := time.Duration(rapid.Int64Range(-int64(time.Second), int64(70*time.Second)).Draw(t, "passed"))
		from, newest := line.last, line.last+passed
		if from == 0 {
			newest = drawTime(t, "newest")
		}
		times := line.burst(n, newest)
		if len(times) != n || times[n-1] != line.last {
			t.Fatalf("%d times for %d pictures, the last %v while the timeline stands at %v", len(times), n, times[n-1], line.last)
		}
		possible := newest-from >= time.Duration(n)*tick
		switch {
		case possible && times[n-1] != newest:
			t.Fatalf("the newest is at %v, %v off", times[n-1], times[n-1]-newest)
		case !possible && times[n-1] > from+time.Duration(n)*tick:
			t.Fatalf("the newest is at %v, further ahead than it must be", times[n-1])
		}
		for i, at := range times {
			if possible && at > newest {
				t.Fatalf("picture %d is ahead of the clock by %v", i, at-newest)
			}
		}
	})
}

func TestBurstIsSpreadOverTheTimeThatPassed(t *testing.T) {
	tests := []struct {
		name         string
		last, newest time.Duration
		n            int
		first, step  time.Duration
	}{
		{"60 pictures over a failover of 90 ms", 100 * time.Second, 100*time.Second + 90*ms, 60, 100*time.Second + 1500*time.Microsecond, 1500 * time.Microsecond},
		{"4 pictures over 1 s of silence", 100 * time.Second, 101 * time.Second, 4, 100*time.Second + 250*ms, 250 * ms},
		{"no time has passed: a tick each", 100 * time.Second, 100 * time.Second, 10, 100*time.Second + tick, tick},
		{"other leg's clock lags: a tick each", 100 * time.Second, 99 * time.Second, 10, 100*time.Second + tick, tick},
		{"after a minute receivers begin anew: close before the newest", 100 * time.Second, 160 * time.Second, 50, 160*time.Second - 49*ms, ms},
		{"nothing before: close before the newest", 0, 3 * time.Second, 50, 3*time.Second - 49*ms, ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := timeline{last: tt.last}
			times := line.burst(tt.n, tt.newest)
			if times[0] != tt.first {
				t.Errorf("first at %v, want %v", times[0], tt.first)
			}
			for i := 1; i < len(times); i++ {
				if d := times[i] - times[i-1] - tt.step; d < -1 || d > 1 {
					t.Fatalf("step %d is %v, want %v", i, times[i]-times[i-1], tt.step)
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
