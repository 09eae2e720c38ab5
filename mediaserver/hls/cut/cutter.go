package cut

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// late is by how much one track may pass the end of a part before the part ends without the
	// other track.
	late = 500 * time.Millisecond
	// early is by how much a segment may be shorter than asked for, so that an IDR that comes a
	// little early ends the segment all the same.
	early = 100 * time.Millisecond
	// over is by how much a segment may exceed TARGETDURATION. A duration counts after it was
	// rounded to whole seconds.
	over = 400 * time.Millisecond

	// maxStepUp and maxStepDown tell a new anchor of the publication's clock from a mapping that
	// follows the drift or the smallest delay: see stream.MaxDeparture.
	maxStepUp   = 50 * time.Millisecond
	maxStepDown = stream.MaxDeparture

	// maxQueued and maxQueuedBytes bound what waits for the end of a part, for each track. Beyond
	// that the part ends with what there is.
	maxQueued      = 2048
	maxQueuedBytes = 16 << 20
	// catchUp is how much faster than they were taken pictures are shown whose time the playlist
	// has filled already: see Config.After.
	catchUp = 500

	// maxEarly bounds the frames of sound that are kept until the first picture.
	maxEarly = 512
)

// Config configures a Cutter. All fields are required unless they say otherwise.
type Config struct {
	// Boot and Publication are the first fields of all names.
	Boot        string
	Publication uint64
	// Epoch is the zero of the media clock as time of day.
	Epoch time.Time
	// Segment is the shortest duration of a segment that an IDR may end.
	Segment time.Duration
	// Target is TARGETDURATION, whole seconds.
	Target time.Duration
	// PartTarget is the greatest duration of a part.
	PartTarget time.Duration
	// Video and Sound report whether the playlist has such a track. At least one is set.
	Video, Sound bool
	// Silence is the format of the sound until the publication brings sound of its own. It is
	// required with Sound.
	Silence *stream.Format
	// Mute reports whether the publication has announced no sound, so that no part waits for it.
	Mute bool
	// After is the end of what the playlist has, on the media clock; 0: the playlist is empty. A
	// switch begins with an IDR that may be older. The pictures up to After are needed to decode
	// those that follow, but their time has passed. They are shown within a few milliseconds, and
	// their sound is left out. So players do not fall behind with each switch.
	After time.Duration
}

// A Cutter cuts one publication. It is for one goroutine.
type Cutter struct {
	cfg   Config
	sound *soundTrack // of the current run; nil: the playlist has no sound
	run   *Run        // nil: nothing has begun yet
	renew bool        // the next picture begins a run, because the sound has changed
	mute  bool        // see Config.Mute

	// offset is the last Offset of the leading track. base is the Offset that maps this run, so that
	// the distances of times stay those of the encoder. delay is the presentation delay of the
	// run's first picture: pictures and sound are compared by DTS + delay.
	offset, base, delay time.Duration
	// skipped is from when until when pictures are shown quickly, on the media clock of the first
	// run; zero: none are.
	skipped struct{ from, until time.Duration }

	pictures, frames         []sample
	pictureBytes, frameBytes int
	pictureSeen, soundSeen   time.Duration // the latest that has come; of sound, its end
	early                    []*stream.AccessUnit

	fragment     uint32 // moof sequence number
	segment      uint64
	part         int
	partStart    time.Duration
	segmentStart time.Duration
	// first reports whether the current segment is the first of its run. It ends after
	// Config.Segment even without an IDR, so that players can begin.
	first bool
	// aligned reports whether the current segment begins with an IDR. If not, the next IDR ends it.
	aligned  bool
	lastDTS  int64 // of the last picture that was queued, in ticks
	duration int64 // of the last picture whose duration is known, in ticks
	position int64 // of the next frame of sound, in samples; negative: unknown
}

// A sample is a picture or a frame of sound that waits for the end of its part.
type sample struct {
	at       time.Duration // when it begins, on the media clock
	dts, pts int64         // pictures: in ticks
	idr      bool
	data     []byte
}

// New returns a Cutter.
func New(cfg Config) *Cutter { return &Cutter{cfg: cfg, mute: cfg.Mute} }

// Announce notes that the publication has announced sound, so that parts wait for it.
func (c *Cutter) Announce() { c.mute = false }

// Add takes the next access unit of the publication. It returns the parts that are complete now.
func (c *Cutter) Add(u *stream.AccessUnit) (parts []Part) {
	leads := (u.Kind == stream.Video) == c.cfg.Video
	switch {
	case u.Kind == stream.Audio && (!c.cfg.Sound || !Carries(u.Format)):
		return nil
	case leads && c.begins(u):
		parts = c.flush()
		if !c.begin(u) {
			c.run = nil
			return parts
		}
	case u.Kind == stream.Video && !c.cfg.Video:
		return nil
	}
	switch {
	case c.run == nil:
		c.keepEarly(u)
		return parts
	case u.Kind == stream.Video:
		c.offset = u.Offset
		c.queuePicture(u)
	default:
		if leads {
			c.offset = u.Offset
		}
		c.queueFrame(u)
	}
	overfull := len(c.pictures) > maxQueued || len(c.frames) > maxQueued || c.pictureBytes > maxQueuedBytes || c.frameBytes > maxQueuedBytes
	return append(parts, c.complete(overfull)...)
}

// End returns the rest of the publication. Nothing may be added after that.
func (c *Cutter) End() []Part {
	parts := c.flush()
	c.run = nil
	return parts
}

// begins reports whether an access unit of the leading track begins a run.
func (c *Cutter) begins(u *stream.AccessUnit) bool {
	isEntry := u.Kind == stream.Audio || u.IDR || u.RecoveryPoint
	switch {
	case c.run == nil:
		return isEntry
	case c.renew, c.isStep(u):
		return true
	case u.Kind == stream.Video:
		return u.IDR && !samePicture(u.Format, c.run.Video)
	}
	return !sameSound(u.Format, c.run.Sound)
}

// isStep reports whether the clock of the publication was anchored anew since the leading track's
// last access unit.
func (c *Cutter) isStep(u *stream.AccessUnit) bool {
	step := u.Offset - c.offset
	return step > maxStepUp || step < -maxStepDown
}

// begin begins a run with u. It reports whether that was possible.
func (c *Cutter) begin(u *stream.AccessUnit) bool {
	continues := c.run != nil && !c.isStep(u)
	end := max(c.partStart, time.Duration(0))
	if !continues {
		c.base, c.delay = u.Offset, 0
		c.frames, c.frameBytes = nil, 0
	}
	next := &Run{Map: Name{c.cfg.Boot, c.cfg.Publication, c.segment, Initialization}, Epoch: c.cfg.Epoch}
	var sound *soundTrack
	if c.cfg.Sound {
		format := c.cfg.Silence
		if u.Kind == stream.Audio {
			format = u.Format
		} else if c.sound != nil {
			format = c.sound.format
		}
		t, err := newSoundTrack(format)
		if err != nil {
			return false
		}
		sound, next.Sound = &t, format
	}
	if c.cfg.Video {
		next.Video = u.Format
	}
	init, err := initialization(next.Video, sound)
	if err != nil {
		return false
	}
	next.Init = init
	if c.run != nil && string(c.run.Init) == string(init) {
		next.Map = c.run.Map // the same section needs no second name
	}
	started := c.run != nil
	c.run, c.sound, c.renew = next, sound, false
	if u.Kind == stream.Video && !continues {
		c.delay = max(u.PTS-u.DTS, 0)
	}
	at := c.at(u)
	if !started && u.Kind == stream.Video && at < c.cfg.After {
		// The pictures of [from, until] take the time from After to until.
		c.skipped.from, c.skipped.until = at, c.cfg.After+(c.cfg.After-at)/(catchUp-1)
		at = c.quickly(at)
	}
	if ahead := end - at; started && !continues && ahead > 0 {
		c.base += ahead // times never go back within a publication
		at += ahead
	}
	c.offset, c.partStart, c.segmentStart, c.first = u.Offset, at, at, true
	c.aligned, c.position = true, -1
	if !continues {
		c.pictureSeen, c.soundSeen = at, 0
	}
	waiting := c.early
	c.early = nil
	for _, frame := range waiting {
		c.queueFrame(frame)
	}
	return true
}

// at returns when an access unit begins, on the media clock of this run.
func (c *Cutter) at(u *stream.AccessUnit) time.Duration {
	if u.Kind == stream.Audio {
		return u.PTS - u.Offset + c.base
	}
	return u.DTS - u.Offset + c.base + c.delay
}

// quickly returns when a picture is shown that was taken at a time: see Config.After.
func (c *Cutter) quickly(at time.Duration) time.Duration {
	if at >= c.skipped.until {
		return at
	}
	return c.cfg.After + (at-c.skipped.from)/catchUp
}

// keepEarly keeps sound that comes before the first picture. Some of the sound may belong to it.
func (c *Cutter) keepEarly(u *stream.AccessUnit) {
	if u.Kind != stream.Audio {
		return
	}
	if len(c.early) == maxEarly {
		c.early = c.early[1:]
	}
	c.early = append(c.early, u)
}

func (c *Cutter) queuePicture(u *stream.AccessUnit) {
	// Decoding times are later by the presentation delay, so that the run's first picture is shown
	// when it is decoded. Composition offsets are negative then, as in CMAF. With positive ones
	// players see a hole before each run with B-frames.
	at := c.at(u)
	pts := ticks(c.quickly(at-c.delay+u.PTS-u.DTS), videoScale)
	at = c.quickly(at)
	dts := ticks(at, videoScale)
	if dts <= c.lastDTS {
		dts = c.lastDTS + 1
		at = max(at, c.pictureSeen)
	}
	data := accessUnitBytes(u)
	c.lastDTS, c.pictureSeen = dts, max(c.pictureSeen, at)
	c.pictures = append(c.pictures, sample{at: at, dts: dts, pts: pts, idr: u.IDR, data: data})
	c.pictureBytes += len(data)
}

// accessUnitBytes returns a picture with lengths before its NAL units, ISO/IEC 14496-15 section 5.3.3.
// Where decoding can begin, its parameter sets come first: ffmpeg does not take them anew from the
// initialization section after a discontinuity.
func accessUnitBytes(u *stream.AccessUnit) []byte {
	nalus := u.NALUs
	if u.IDR || u.RecoveryPoint {
		nalus = append([][]byte{u.Format.SPS, u.Format.PPS}, nalus...)
	}
	size := 0
	for _, nalu := range nalus {
		size += 4 + len(nalu)
	}
	out := make([]byte, 0, size)
	for _, nalu := range nalus {
		n := len(nalu)
		out = append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		out = append(out, nalu...)
	}
	return out
}

func (c *Cutter) queueFrame(u *stream.AccessUnit) {
	if c.cfg.Video && c.isStep(u) {
		return // the pictures have not jumped yet, or the sound has not
	}
	if !sameSound(u.Format, c.sound.format) {
		t, err := newSoundTrack(u.Format)
		if err != nil {
			return
		}
		c.sound, c.renew = &t, true // the run goes on until the next picture, without this sound
		c.frames, c.frameBytes = nil, 0
		return
	}
	at, samples := c.at(u), c.sound.samples(u.Frame)
	if c.renew || samples <= 0 || samples > maxSamples || at < c.partStart-maxStepDown {
		return
	}
	c.mute = false
	c.soundSeen = max(c.soundSeen, at+time.Duration(samples)*time.Second/time.Duration(c.sound.scale))
	c.frames = append(c.frames, sample{at: at, dts: samples, data: u.Frame})
	c.frameBytes += len(u.Frame)
}

// maxSamples is the longest Opus packet, RFC 6716 section 2.1.4. It is more than an AAC frame.
const maxSamples = 5760
