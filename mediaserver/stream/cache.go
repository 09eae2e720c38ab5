package stream

import "time"

// audioTail is how much audio the cache keeps: enough for a splice to continue the
// audio track even where a leg's audio is interleaved late, whatever the GOP length.
const audioTail = 2 * time.Second

// gopCache holds the access units since the last IDR and the last audioTail of
// audio. Beyond its bounds the video is forgotten, and with it the entry point.
// It is guarded by Stream.mu.
type gopCache struct {
	maxBytes    int
	maxDuration time.Duration

	video, audio []*AccessUnit
	videoBytes   int
	// overflowed says that the publisher sent no IDR within the bounds.
	overflowed bool
	lastIDR    time.Duration // arrival
	// idrInterval is the time between the last two IDRs, 0 while unknown.
	idrInterval time.Duration
}

func (c *gopCache) add(u *AccessUnit) {
	if u.Kind == Audio {
		drop := 0
		for drop < len(c.audio) && u.Arrival-c.audio[drop].Arrival > audioTail {
			c.audio[drop] = nil
			drop++
		}
		c.audio = append(c.audio[drop:], u)
		return
	}
	if u.IDR {
		if c.lastIDR != 0 {
			c.idrInterval = u.Arrival - c.lastIDR
		}
		c.lastIDR = u.Arrival
		clear(c.video)
		c.video, c.videoBytes, c.overflowed = c.video[:0], 0, false
	} else if len(c.video) == 0 {
		return
	}
	c.video = append(c.video, u)
	c.videoBytes += u.Size()
	if c.videoBytes > c.maxBytes || u.Arrival-c.video[0].Arrival > c.maxDuration {
		clear(c.video)
		c.video, c.videoBytes, c.overflowed = c.video[:0], 0, true
	}
}

// units returns the cached access units in the order of their Seq.
func (c *gopCache) units() []*AccessUnit {
	out := make([]*AccessUnit, 0, len(c.video)+len(c.audio))
	v, a := c.video, c.audio
	for len(v) > 0 || len(a) > 0 {
		if len(a) == 0 || (len(v) > 0 && v[0].Seq < a[0].Seq) {
			out, v = append(out, v[0]), v[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return out
}
