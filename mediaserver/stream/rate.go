package stream

import "time"

// rate is a bit rate over windows of rateWindow.
type rate struct {
	start time.Duration
	bytes int
	bps   int64
}

const rateWindow = 2 * time.Second

// at returns the rate at now: none once two windows have passed without a byte.
func (r *rate) at(now time.Duration) int64 {
	if now-r.start > 2*rateWindow {
		return 0
	}
	return r.bps
}

// add counts size bytes and says whether bps was brought up to date.
func (r *rate) add(size int, now time.Duration) bool {
	if r.start == 0 {
		r.start = now
	}
	r.bytes += size
	d := now - r.start
	if d < rateWindow {
		return false
	}
	r.bps = int64(float64(r.bytes) * 8 / d.Seconds())
	r.start, r.bytes = now, 0
	return true
}
