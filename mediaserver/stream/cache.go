package stream

import (
	"time"

	"github.com/streampair/streampair/mediaserver/budget"
)

// audioTail is how much audio the cache keeps: enough for a splice to continue the
// audio track even where a leg's audio is interleaved late, whatever the GOP length.
const audioTail = 2 * time.Second

// audioShare of the cache's bytes is what that audio may take.
const audioShare = 4

// gopCache holds the access units since the last IDR and the last audioTail of audio. Where
// no IDR comes within the bounds, the cache holds those since the last recovery point but
// one. Beyond its bounds the video is forgotten, and with it the entry point; so it is
// when the server's memory budget is short. It is guarded by Stream.mu.
type gopCache struct {
	maxBytes    int
	maxDuration time.Duration
	account     *budget.Account

	video, audio []*AccessUnit
	videoBytes   int // payload
	// videoHeld and audioHeld are what the cached units occupy, about.
	videoHeld, audioHeld int
	// overflowed says that the publisher sent no IDR or recovery point within the bounds, or
	// starved is set.
	overflowed bool
	// starved says that the video since the last IDR was forgotten for want of memory.
	starved bool
	// began says that an IDR or a recovery point has come.
	began bool
	// recovery is the index in video of the last recovery point since the IDR; 0: none.
	recovery int
	// firstPicture and lastIDR are arrivals, 0 before there was one.
	firstPicture, lastIDR time.Duration
	// idrInterval is the time between the last two IDRs, 0 while unknown.
	idrInterval time.Duration
}

// footprint is what u occupies in memory, about: its payload is not all, and a flood
// of tiny units must be bounded too.
func footprint(u *AccessUnit) int {
	const unit, nalu = 256, 24
	return u.Size() + unit + nalu*len(u.NALUs)
}

// add caches u. It reports whether the video was forgotten for want of memory.
func (c *gopCache) add(u *AccessUnit) (starved bool) {
	if u.Kind == Audio {
		c.addAudio(u)
	} else {
		c.addVideo(u)
	}
	c.account.Set(c.videoHeld + c.audioHeld)
	return c.relieve()
}

// relieve gives memory back if the budget is short: the video first, then all audio but
// the newest. It reports whether the video was forgotten.
func (c *gopCache) relieve() (starved bool) {
	if len(c.video) > 0 && c.account.Short() {
		c.forgetVideo(true)
		c.starved, starved = true, true
		c.account.Set(c.audioHeld)
	}
	if len(c.audio) > 1 && c.account.Short() {
		c.dropAudio(len(c.audio) - 1)
		c.account.Set(c.videoHeld + c.audioHeld)
	}
	return starved
}

// close forgets everything: whoever holds an access unit holds its publication too, and
// must not hold all that the publication cached.
func (c *gopCache) close() {
	c.video, c.audio = nil, nil
	c.videoBytes, c.videoHeld, c.audioHeld = 0, 0, 0
	c.account.Close()
}

func (c *gopCache) addVideo(u *AccessUnit) {
	if c.firstPicture == 0 {
		c.firstPicture = u.Arrival
	}
	switch {
	case u.IDR:
		if c.lastIDR != 0 {
			c.idrInterval = u.Arrival - c.lastIDR
		}
		c.lastIDR = u.Arrival
		c.forgetVideo(false)
	case len(c.video) > 0:
	case u.RecoveryPoint:
		c.forgetVideo(false)
	default:
		// One that never sends an IDR overflows too, so that its publisher is told.
		c.overflowed = c.overflowed || u.Arrival-max(c.firstPicture, c.lastIDR) > c.maxDuration
		return
	}
	c.began = true
	if u.RecoveryPoint {
		// From the recovery point before, whole pictures are to be had at once.
		if !c.beginsWithIDR() {
			c.dropVideo(c.recovery)
		}
		c.recovery = len(c.video)
	}
	c.video = append(c.video, u)
	c.videoBytes += u.Size()
	c.videoHeld += footprint(u)
	if !c.exceeds(u) {
		return
	}
	c.dropVideo(c.recovery)
	c.recovery = 0
	if len(c.video) == 0 || c.exceeds(u) {
		c.forgetVideo(true)
	}
}

// exceeds reports whether the pictures exceed the cache's bounds; u is the last.
func (c *gopCache) exceeds(u *AccessUnit) bool {
	return c.videoHeld > c.maxBytes || u.Arrival-c.video[0].Arrival > c.maxDuration
}

// beginsWithIDR reports whether viewers can begin with what is cached.
func (c *gopCache) beginsWithIDR() bool { return len(c.video) > 0 && c.video[0].IDR }

// dropVideo forgets the oldest n pictures.
func (c *gopCache) dropVideo(n int) {
	for i, u := range c.video[:n] {
		c.videoBytes -= u.Size()
		c.videoHeld -= footprint(u)
		c.video[i] = nil
	}
	c.video = c.video[n:]
}

func (c *gopCache) forgetVideo(overflowed bool) {
	clear(c.video)
	c.video, c.videoBytes, c.videoHeld, c.overflowed, c.starved = c.video[:0], 0, 0, overflowed, false
	c.recovery = 0
}

func (c *gopCache) addAudio(u *AccessUnit) {
	c.audio = append(c.audio, u)
	c.audioHeld += footprint(u)
	drop, held := 0, c.audioHeld
	for u.Arrival-c.audio[drop].Arrival > audioTail || (held > c.maxBytes/audioShare && drop < len(c.audio)-1) {
		held -= footprint(c.audio[drop])
		drop++
	}
	c.dropAudio(drop)
}

// dropAudio forgets the oldest n frames.
func (c *gopCache) dropAudio(n int) {
	for i, u := range c.audio[:n] {
		c.audioHeld -= footprint(u)
		c.audio[i] = nil
	}
	c.audio = c.audio[n:]
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
