package flv

import "time"

// maxUnwrapped bounds an Unwrapper to 69 years on either side of zero, in
// milliseconds. A hostile publisher may jump by 24 days with each tag. Neither a
// time.Duration nor the difference of two may overflow.
const maxUnwrapped = 1 << 41

// shortWrap is where the timestamps of ffmpeg's muxer wrap. The muxer writes 31 bits,
// so they begin again at zero after 24.9 days. A step of that size, give or take
// shortWrapWindow, is a wrap and not a jump.
const (
	shortWrap       = 1 << 31
	shortWrapWindow = 60_000
)

// An Unwrapper turns 32-bit millisecond timestamps, which wrap after 49.7 days, into times
// that do not wrap. It keeps small steps back. They come from B-frames, and from audio
// that is written after its video. The zero value is ready for use. All tracks of a
// publication must share one Unwrapper, so that they have the same origin.
type Unwrapper struct {
	last    int64
	started bool
}

// Unwrap returns the time of a tag. The first timestamp keeps its value. Any other is taken for
// the time nearest to the one before, which is at most 24.8 days away.
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

// inMilliseconds returns d rounded to the nearest millisecond.
func inMilliseconds(d time.Duration) int64 {
	return int64(d.Round(time.Millisecond) / time.Millisecond)
}
