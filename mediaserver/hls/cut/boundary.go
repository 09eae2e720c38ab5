package cut

import (
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
)

// A boundary is the end of a part.
type boundary struct {
	at time.Duration
	// last reports whether the segment ends here too, and final whether the run does.
	last, final bool
}

// complete returns the parts whose end is known. With all set it ends parts until nothing is
// queued.
func (c *Cutter) complete(all bool) (parts []Part) {
	for {
		b, ok := c.ofLeader()
		if ok && !all && c.waitsForSound(b) {
			return parts
		}
		if !ok && all {
			b, ok = c.rest()
		}
		if !ok {
			return parts
		}
		if p, ok := c.cut(b); ok {
			parts = append(parts, p)
		}
	}
}

// flush ends the current run.
func (c *Cutter) flush() []Part {
	if c.run == nil {
		return nil
	}
	parts := c.complete(true)
	if n := len(parts); n > 0 && !parts[n-1].Last {
		parts[n-1].Last = true
		c.endSegment()
	} else if c.part > 0 {
		c.endSegment()
	}
	return parts
}

// waitsForSound reports whether the part that ends at b lacks sound that is about to come.
func (c *Cutter) waitsForSound(b boundary) bool {
	return c.cfg.Video && c.cfg.Sound && !c.mute && c.soundSeen < b.at && c.pictureSeen < b.at+late
}

// ofLeader returns the end of the current part by the track that leads: the pictures, or the
// sound where there are none.
func (c *Cutter) ofLeader() (boundary, bool) {
	limit, end, passed := c.partStart+c.cfg.PartTarget, time.Duration(0), time.Duration(0)
	leader := c.pictures
	if !c.cfg.Video {
		leader = c.frames
	}
	for _, s := range leader {
		switch {
		case s.at <= c.partStart:
			continue
		case s.at > limit:
			passed = s.at
		case s.idr && (s.at-c.segmentStart >= c.cfg.Segment-early || !c.aligned):
			return boundary{at: s.at, last: true}, true
		default:
			end = s.at
		}
		if passed > 0 {
			break
		}
	}
	soundGoesOn := c.cfg.Video && c.cfg.Sound && !c.mute
	switch {
	case passed > 0 && end > 0:
		return c.judged(end), true
	case passed > 0 && c.cfg.Video && c.cfg.Sound:
		return c.judged(limit), true // a picture is shown for longer than a part: sound fills the parts
	case passed > 0:
		return c.judged(passed), true
	case soundGoesOn && c.soundSeen >= limit+late:
		return c.judged(limit), true // the pictures are late
	}
	return boundary{}, false
}

// judged returns a boundary that is no IDR at which the segment would end anyway.
func (c *Cutter) judged(at time.Duration) boundary {
	length := at - c.segmentStart
	byTime := c.first || !c.cfg.Video
	return boundary{at: at, last: length+c.cfg.PartTarget > c.cfg.Target+over || byTime && length >= c.cfg.Segment}
}

// rest returns the end of what is queued, when nothing follows. All of it begins within one part.
// ok is false if nothing is queued.
func (c *Cutter) rest() (b boundary, ok bool) {
	leader := c.pictures
	if !c.cfg.Video {
		leader = c.frames
	}
	if len(leader) == 0 {
		return boundary{}, false
	}
	last, duration := leader[len(leader)-1].at, time.Duration(c.lastDuration())*time.Second/videoScale
	end := max(last, c.partStart) + duration
	limit := c.partStart + c.cfg.PartTarget
	if last > c.partStart && end > limit {
		return c.judged(last), true // the last picture makes a part of its own
	}
	b = c.judged(min(end, limit))
	b.final = true
	return b, true
}

// lastDuration returns how long a picture is shown whose successor is unknown, in ticks.
func (c *Cutter) lastDuration() int64 {
	if c.duration > 0 {
		return c.duration
	}
	return videoScale / 30
}

// cut makes a part of what begins before b.
func (c *Cutter) cut(b boundary) (Part, bool) {
	p := Part{
		Name: Name{c.cfg.Boot, c.cfg.Publication, c.segment, c.part}, Run: c.run,
		Start: c.partStart, Duration: b.at - c.partStart, Independent: !c.cfg.Video, Last: b.last,
	}
	fragment := fmp4.Part{SequenceNumber: c.fragment}
	if t := c.cutPictures(b.at, &p); t != nil {
		fragment.Tracks = append(fragment.Tracks, t)
	}
	if c.sound != nil && !c.renewed() {
		if t := c.cutSound(b); t != nil {
			fragment.Tracks = append(fragment.Tracks, t)
		}
	}
	c.partStart = b.at
	var out seekablebuffer.Buffer
	if len(fragment.Tracks) == 0 || fragment.Marshal(&out) != nil {
		// Nothing belongs here, because a picture is shown for long and less than three frames of
		// sound are missing. The part would be empty, so there is none.
		if b.last && c.part > 0 {
			c.endSegment()
		}
		return Part{}, false
	}
	p.Data = out.Bytes()
	c.fragment++
	c.part++
	if b.last {
		c.endSegment()
	}
	return p, true
}

// renewed reports whether the sound is no longer in the format of the run.
func (c *Cutter) renewed() bool { return c.renew && !sameSound(c.sound.format, c.run.Sound) }

func (c *Cutter) endSegment() {
	c.segment++
	c.part, c.segmentStart, c.first = 0, c.partStart, false
	c.aligned = len(c.pictures) > 0 && c.pictures[0].idr
}

// cutPictures takes the pictures that begin before end; nil: there are none.
func (c *Cutter) cutPictures(end time.Duration, p *Part) *fmp4.PartTrack {
	n := 0
	for n < len(c.pictures) && c.pictures[n].at < end {
		n++
	}
	if n == 0 {
		return nil
	}
	t := &fmp4.PartTrack{ID: videoTrackID, BaseTime: uint64(max(c.pictures[0].dts, 0))}
	for i, s := range c.pictures[:n] {
		duration := c.lastDuration()
		if i+1 < len(c.pictures) {
			duration = c.pictures[i+1].dts - s.dts
			if s.at >= c.skipped.until {
				c.duration = min(duration, videoScale)
			}
		}
		t.Samples = append(t.Samples, &fmp4.Sample{
			Duration: uint32(duration), PTSOffset: int32(s.pts - s.dts), IsNonSyncSample: !s.idr, Payload: s.data,
		})
		p.Independent = p.Independent || s.idr
		c.pictureBytes -= len(s.data)
	}
	p.Pictures = n
	c.pictures = append([]sample(nil), c.pictures[n:]...)
	return t
}

// cutSound takes the frames that begin before b; nil: there are none. Silence fills what is
// missing. At the end of a run it fills even a part of a frame. Where one track has a hole of more
// than a frame, browsers drop the pictures up to the next IDR (Media Source Extensions, section
// 3.5.8).
func (c *Cutter) cutSound(b boundary) *fmp4.PartTrack {
	w := soundWriter{track: *c.sound, position: c.position, base: -1}
	if w.position < 0 {
		w.position = ticks(c.partStart, w.track.scale)
		w.fresh = true
	}
	n := 0
	for n < len(c.frames) && c.frames[n].at < b.at {
		f := c.frames[n]
		w.write(f.data, ticks(f.at, w.track.scale), f.dts)
		c.frameBytes -= len(f.data)
		n++
	}
	c.frames = append([]sample(nil), c.frames[n:]...)
	end := ticks(b.at, w.track.scale)
	w.fill(end, 2)
	if b.final {
		for frame, length := silentFrame(w.track); w.position < end; {
			w.append(frame, length)
		}
	}
	c.position = w.position
	if len(w.samples) == 0 {
		return nil
	}
	return &fmp4.PartTrack{ID: soundTrackID, BaseTime: uint64(max(w.base, 0)), Samples: w.samples}
}

// A soundWriter writes the sound of one part. All times are in samples.
type soundWriter struct {
	track    soundTrack
	position int64 // where the next frame begins
	fresh    bool  // the run has no sound yet, so its first frame begins when it says
	base     int64 // where the first frame begins; negative: there is none
	samples  []*fmp4.Sample
}

// write adds a frame that says that it begins at time at. The time counts only if it differs from
// the position by more than a frame, since RTMP's milliseconds are not exact.
func (w *soundWriter) write(frame []byte, at, length int64) {
	if at < w.position-length || w.fresh && at < w.position {
		return // its place is taken
	}
	fresh := w.fresh
	w.fill(at, 1)
	if hole := at - w.position; hole > length || fresh && hole > 0 {
		if len(w.samples) == 0 && fresh {
			// The sound begins with the run, with less than a frame of silence: see cutSound.
			silence, _ := silentFrame(w.track)
			w.append(silence, hole)
		} else if n := len(w.samples); n > 0 {
			w.samples[n-1].Duration += uint32(hole)
		}
		w.position = at
	}
	w.append(frame, length)
}

// fill adds whole frames of silence up to until, if more than so many frames are missing.
func (w *soundWriter) fill(until, frames int64) {
	frame, length := silentFrame(w.track)
	if until-w.position <= frames*length {
		return
	}
	for until-w.position >= length {
		w.append(frame, length)
	}
}

func (w *soundWriter) append(frame []byte, length int64) {
	if w.base < 0 {
		w.base = w.position
	}
	w.samples = append(w.samples, &fmp4.Sample{Duration: uint32(length), Payload: frame})
	w.position += length
	w.fresh = false
}
