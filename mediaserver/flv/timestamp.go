package flv

import "time"

// maxUnwrapped bounds an Unwrapper to 69 years either side of zero: a hostile
// publisher that jumps by 24 days with each tag must not make a time.Duration
// overflow, nor the difference of two.
const maxUnwrapped = 1 << 41

// shortWrap is where ffmpeg's muxer wraps: it writes 31 bits, so after 24.9 days its
// timestamps begin again at zero. A step of that size, give or take shortWrapWindow,
// is such a wrap and not a jump.
const (
	shortWrap       = 1 << 31
	shortWrapWindow = 60_000
)

// An Unwrapper turns 32-bit millisecond timestamps, which wrap after 49.7 days, into
// times that do not. Small steps back are kept as such: B-frames, and audio written
// after the video it goes with, make them. Its zero value is ready for use. All tracks
// of a publication must share one, so that they have the same origin.
type Unwrapper struct {
	last    int64
	started bool
}

// Unwrap returns the time of a tag. The first keeps its value; any other is taken as
// the nearest to the one before it, at most 24.8 days away.
func (u *Unwrapper) Unwrap(milliseconds uint32) time.Duration {
	next := int64(milliseconds)
	if u.started {
		step := int64(int32(milliseconds - uint32(u.last)))
		switch {
		case step <= -shortWrap+shortWrapWindow:
			step += shortWrap
		case step >= shortWrap-shortWrapWindow:
			step -= shortWrap
		}
		next = u.last + step
	}
	if next > maxUnwrapped || next < -maxUnwrapped {
		next = int64(milliseconds)
	}
	u.last, u.started = next, true
	return time.Duration(next) * time.Millisecond
}

// inMilliseconds rounds to the nearest millisecond.
func inMilliseconds(d time.Duration) int64 {
	return int64(d.Round(time.Millisecond) / time.Millisecond)
}
