package server

import (
	"testing"
	"time"
)

func TestStallsExcuseNoMoreThanTheirTime(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(1_000_000, 0).Add(d) }
	s := &stalls{each: []stall{
		{at(2 * time.Second), at(2200 * ms)},
		{at(2500 * ms), at(2800 * ms)}, // 2 to 3.8 s in all
		{at(9 * time.Second), at(9500 * ms)},
	}}
	for d, want := range map[time.Duration]bool{
		1999 * ms: false, 2 * time.Second: true, 3799 * ms: true, 3800 * ms: false,
		8999 * ms: false, 10 * time.Second: true, 10500 * ms: false,
	} {
		if s.near(at(d)) != want {
			t.Errorf("near at %v: %v, want %v", d, !want, want)
		}
	}
	for _, test := range []struct {
		from, to time.Duration
		want     int
	}{
		{0, 10 * time.Second, 72}, // 1.8 s, and the last second
		{0, 2 * time.Second, 100},
		{3 * time.Second, 4 * time.Second, 20},
		{2 * time.Second, 3 * time.Second, 0},
		{4 * time.Second, 9 * time.Second, 100},
	} {
		if got := s.judged(at(test.from), at(test.to)); got != test.want {
			t.Errorf("%d %% from %v to %v, want %d", got, test.from, test.to, test.want)
		}
	}
}
