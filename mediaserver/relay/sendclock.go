package relay

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A sendClock gives the access units of one publication the times to send them with. Pictures that
// refer to each other, and sound that is to be joined, need the encoder's own distances. But the
// mapping of the encoder's clock to the media clock settles and drifts while a publication runs. So
// the first mapping stays in use, and its difference from the current mapping is sent beside it.
//
// When the encoder's clock jumps, there is a new mapping. The two tracks do not jump at the same
// access unit, so the old mapping is kept for the track that has yet to jump.
type sendClock struct {
	mapping, prior  time.Duration // what to add to the encoder's times
	started, jumped bool
}

// place returns the times to send u with, and what to add to them to get times on the media clock.
// shift is in whole milliseconds, and at most stream.MaxDeparture.
func (t *sendClock) place(u *stream.AccessUnit) (dts, pts, shift time.Duration) {
	// Whole milliseconds keep an encoder's times whole, if they are.
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
