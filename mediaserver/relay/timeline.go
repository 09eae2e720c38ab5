package relay

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A timeline gives the access units of one publication the times that they are sent
// with. These lie on the media clock, as near as a millisecond and the last IDR; but the
// mapping to the media clock settles and drifts while a publication runs, and pictures
// that refer to each other, and sound that is to be joined, need the encoder's own
// distances. So the mapping of an IDR holds until the next.
//
// Where the encoder's clock jumps, its two tracks do not do so at the same access unit:
// the mapping from before the jump is kept for the one that has yet to follow.
type timeline struct {
	current, prior time.Duration // what to add to the encoder's times
	started, jumped,
	pictures bool // there was a picture
}

// place returns the times that u is sent with.
func (t *timeline) place(u *stream.AccessUnit) (dts, pts time.Duration) {
	// In whole milliseconds, so that an encoder's own stay whole.
	offset := u.Offset.Round(time.Millisecond)
	near := func(other time.Duration) bool { return (offset - other).Abs() <= stream.MaxDeparture }
	t.pictures = t.pictures || u.Kind == stream.Video
	var mapping time.Duration
	switch {
	case !t.started:
		t.started, t.current = true, offset
		mapping = offset
	case near(t.current):
		if u.IDR || !t.pictures {
			t.current = offset
		}
		mapping = t.current
	case t.jumped && near(t.prior):
		mapping = t.prior
	default:
		t.jumped, t.prior, t.current = true, t.current, offset
		mapping = offset
	}
	return u.DTS - u.Offset + mapping, u.PTS - u.Offset + mapping
}
