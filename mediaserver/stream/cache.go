package stream

import (
	"time"

	"github.com/streampair/streampair/mediaserver/budget"
)

// audioTail is how much audio the cache keeps, whatever the GOP length. It is enough for a splice
// to continue the audio track, even if a leg's audio is interleaved late.
const audioTail = 2 * time.Second

// audioShare: cached audio may take at most one audioShare-th of the cache's bytes.
const audioShare = 4

// gopCache holds the access units since the last IDR and the last audioTail of audio. If no IDR
// comes within the bounds, the cache holds the pictures since the last recovery point but one.
// Beyond its bounds the cache drops its video, and with it the entry point. It also drops its video
// when the server's memory budget is short. It is guarded by Stream.mu.
type gopCache struct {
	maxBytes    int
	maxDuration time.Duration
	account     *budget.Account

	video, audio []*AccessUnit
	videoBytes   int // of payload
	// videoHeld and audioHeld are about how many bytes of memory the cached units occupy.
	videoHeld, audioHeld int
	// overflowed reports whether the publisher sent no IDR or recovery point within the bounds, or
	// starved is set.
	overflowed bool
	// starved reports whether the video since the last IDR was dropped because memory was short.
	starved bool
	// began reports whether an IDR or a recovery point has come.
	began bool
	// recovery is the index in video of the last recovery point after the first picture; 0: none.
	recovery int
	// firstPicture and lastIDR are arrival times; 0: none has arrived.
	firstPicture, lastIDR time.Duration
	// idrInterval is the time between the last two IDRs; 0: unknown.
	idrInterval time.Duration
	// regularIDRs reports whether the interval before was about as long.
	regularIDRs bool
}

// footprint returns about how much memory u occupies. That is more than the payload: a flood of
// tiny units must be bounded too.
func footprint(u *AccessUnit) int {
	const unit, nalu = 256, 24
	return u.Size() + unit + nalu*len(u.NALUs)
}

// add caches u. It reports whether video was dropped because memory was short.
func (c *gopCache) add(u *AccessUnit) (starved bool) {
	if u.Kind == Audio {
		c.addAudio(u)
	} else {
		c.addVideo(u)
	}
	c.account.Set(c.videoHeld + c.audioHeld)
	return c.relieve()
}

// relieve frees memory if the budget is short: the video first, then all audio but the newest unit.
// It reports whether the video was dropped.
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

// close drops everything. Whoever holds an access unit also holds its publication, and must not
// thereby hold the publication's whole cache.
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
			interval := u.Arrival - c.lastIDR
			c.regularIDRs = (interval - c.idrInterval).Abs() <= interval/10
			c.idrInterval = interval
		}
		c.lastIDR = u.Arrival
		c.forgetVideo(false)
	case len(c.video) > 0:
	case u.RecoveryPoint:
		c.forgetVideo(false)
	default:
		// The cache of a publisher that never sends an IDR overflows too, so that its publisher is
		// warned.
		c.overflowed = c.overflowed || u.Arrival-max(c.firstPicture, c.lastIDR) > c.maxDuration
		return
	}
	c.began = true
	if u.RecoveryPoint {
		// Decoding from the previous recovery point gives whole pictures at once.
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

// exceeds reports whether the pictures exceed the cache's bounds. u is the last picture.
func (c *gopCache) exceeds(u *AccessUnit) bool {
	return c.videoHeld > c.maxBytes || u.Arrival-c.video[0].Arrival > c.maxDuration
}

// beginsWithIDR reports whether viewers can begin with the cached pictures.
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
