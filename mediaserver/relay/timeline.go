package relay

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A timeline gives the access units of one publication the times that they are sent
// with. Pictures that refer to each other, and sound that is to be joined, need the
// encoder's own distances; but the mapping of its clock to the media clock settles and
// drifts while a publication runs. So the first mapping holds, and what has become of it
// since is said beside it.
//
// Where the encoder's clock jumps, there is a new mapping. Its two tracks do not jump at
// the same access unit: the mapping from before is kept for the one that has yet to follow.
type timeline struct {
	mapping, prior  time.Duration // what to add to the encoder's times
	started, jumped bool
}

// place returns the times that u is sent with, and what to add to them for those of the
// media clock, to the millisecond and stream.MaxDeparture at most.
func (t *timeline) place(u *stream.AccessUnit) (dts, pts, shift time.Duration) {
	// In whole milliseconds, so that an encoder's own stay whole.
	offset := u.Offset.Round(time.Millisecond)
	near := func(other time.Duration) bool { return (offset - other).Abs() <= stream.MaxDeparture }
	mapping := t.mapping
	switch {
	case t.started && near(t.mapping):
	case t.jumped && near(t.prior):
		mapping = t.prior
	default:
		t.prior, t.jumped = t.mapping, t.started
		t.started, t.mapping, mapping = true, offset, offset
	}
	return u.DTS - u.Offset + mapping, u.PTS - u.Offset + mapping, offset - mapping
}
