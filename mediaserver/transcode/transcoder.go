package transcode

import (
	"bytes"
	"time"

	"github.com/streampair/streampair/mediaserver/ffmpeg"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// An ffmpeg that has ended is replaced after firstBackoff. Each further failure
	// doubles that time, up to maxBackoff. After an ffmpeg has worked for stableAfter,
	// the time is firstBackoff again.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 5 * time.Second
	stableAfter  = 30 * time.Second
	// maxFailures is the number of failures without a picture after which the view goes
	// on without ffmpeg. ffmpeg is then tried only now and then.
	maxFailures = 3
)

// A transcoder is the part of a view that manages its ffmpeg children. There is one child
// while pictures are needed. When the stream's parameters change, a successor is started
// beside the child. The successor replaces the child at its own first IDR.
type transcoder struct {
	slots   chan struct{}
	hasSlot bool // a slot is held

	current, successor *child
	// fromChild reports whether the derived stream's pictures come from current.
	fromChild bool

	neededUntil  time.Time // valid while nobody demands pictures
	failures     int       // in a row
	gavePicture  bool      // a child of this publication gave a picture
	cannotDecode bool      // a child had all pictures of this publication, and gave none
	pictures     int       // given by current
	retryAt      time.Time
	launches     launches
}

// picturesOf returns c's pictures. Without a child it returns nil, which is never ready.
func picturesOf(c *child) <-chan picture {
	if c == nil {
		return nil
	}
	return c.pictures
}

// transcode gives the raw stream's newest picture to the child. It starts a child if
// there is none, and a successor if the parameters have changed.
func (v *view) transcode(u *stream.AccessUnit) {
	if !v.canTranscode() {
		return
	}
	if v.current == nil {
		v.start()
		return
	}
	if c := v.inputChild(); begins(u) && !c.fits(u) {
		v.replace(u)
		return
	}
	if !v.inputChild().write(u) {
		v.cfg.Metrics.FramesDropped.WithLabelValues("transcode").Inc()
	}
}

// willReencode reports whether viewers will get re-encoded pictures once there are viewers.
func (v *view) willReencode() bool {
	return !v.cannotDecode && v.failures < maxFailures && v.canTakeSlot()
}

// canTakeSlot reports whether the view has a slot or can have one.
func (v *view) canTakeSlot() bool {
	return v.canTranscode() && (v.hasSlot || len(v.slots) < cap(v.slots))
}

// takeSlot takes a slot for the view's children, unless the view has one. It reports
// whether the view has a slot now.
func (v *view) takeSlot() bool {
	if v.hasSlot {
		return true
	}
	select {
	case v.slots <- struct{}{}:
		v.hasSlot = true
	default:
	}
	return v.hasSlot
}

// releaseSlot gives the slot back if the view has no children.
func (v *view) releaseSlot() {
	if v.hasSlot && v.current == nil && v.successor == nil && v.sound.child == nil {
		v.hasSlot = false
		<-v.slots
	}
}

func (v *view) canTranscode() bool { return v.cfg.FFmpegPath != "" && v.cfg.MaxTranscodes > 0 }

// inputChild returns the child that gets the pictures.
func (v *view) inputChild() *child {
	if v.successor != nil {
		return v.successor
	}
	return v.current
}

// fits reports whether the child can go on with u, an IDR.
func (c *child) fits(u *stream.AccessUnit) bool {
	return bytes.Equal(u.Format.SPS, c.format.SPS) && bytes.Equal(u.Format.PPS, c.format.PPS) &&
		time.Since(c.Started) < maxChildAge
}

// needed reports whether pictures are demanded, or were demanded within the last Linger.
func (v *view) needed() bool {
	if v.demand.Load() > 0 {
		v.neededUntil = time.Now().Add(v.cfg.Linger)
		return true
	}
	return time.Now().Before(v.neededUntil)
}

// start starts a child, if one is needed and allowed. The child begins with the cached
// pictures of the raw stream since its last IDR.
func (v *view) start() {
	if now := time.Now(); !v.needed() || now.Before(v.retryAt) || !v.launches.allowed(now) {
		return
	}
	var since []*stream.AccessUnit
	for _, u := range v.raw.Cached() {
		if u.Kind == stream.Video && u.Publication == v.rawPub && u.Seq <= v.lastSeq {
			since = append(since, u)
		}
	}
	if len(since) == 0 || !begins(since[0]) || !v.needsReencoding {
		return // the cache is ahead of the view, or was too small: wait for the next IDR
	}
	if !v.takeSlot() {
		v.warn(warningFull, transcodesFull)
		return
	}
	v.unwarn(warningFull)
	v.current, v.pictures = v.launch(since), 0
	if v.current == nil {
		v.failed("start")
	}
}

// replace starts a successor of the child at u, an IDR with other parameters. If too
// many children were started lately, there is no child for a while. Viewers then get
// only the pictures that need no re-encoding.
func (v *view) replace(u *stream.AccessUnit) {
	if !v.launches.allowed(time.Now()) {
		v.cfg.Metrics.FFmpegRestarts.WithLabelValues("postponed").Inc()
		v.warn(warningParameters, parametersChange)
		v.stopChildren()
		return
	}
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues("parameters").Inc()
	if v.successor != nil {
		v.discard(v.successor.Process)
	}
	if v.successor = v.launch([]*stream.AccessUnit{u}); v.successor == nil {
		v.lose("start")
	}
}

func (v *view) launch(since []*stream.AccessUnit) *child {
	v.launches.count(time.Now())
	measured := int64(0)
	if p := v.raw.Snapshot().Publication; p != nil {
		measured = p.BitrateBPS
	}
	c, err := startChild(v.cfg.FFmpegPath, since, childBitrate(since, measured), v.cfg.Recovery)
	if err != nil {
		v.log.Error("ffmpeg cannot be started", "err", err)
		return nil
	}
	v.cfg.Metrics.FFmpegChildren.Inc()
	v.log.Info("ffmpeg started to re-encode video", "pid", c.PID, "backlog", len(since))
	return c
}

// discard ends a process and waits for its end, which takes as long as the kernel needs.
func (v *view) discard(p *ffmpeg.Process) {
	p.Stop()
	<-p.Done
	v.cfg.Metrics.FFmpegChildren.Dec()
}

// stopChildren ends all children. From then on the pictures come from the filter.
func (v *view) stopChildren() {
	for _, c := range []*child{v.current, v.successor} {
		if c != nil {
			v.discard(c.Process)
		}
	}
	v.current, v.successor = nil, nil
	if v.fromChild {
		v.fromChild = false
		v.filter.Break() // viewers' decoders refer to the child's pictures
	}
	v.releaseSlot()
}

// forwardFromChild passes on a picture of child c. ok is false when the child has ended.
func (v *view) forwardFromChild(c *child, p picture, ok bool) {
	if !ok {
		<-c.Done
		v.log.Info("ffmpeg ended", "err", c.Err)
		if recovery.Is(c.Err) {
			v.rawPub.Expel() // the next child must not meet the same bytes
		}
		v.cannotDecode = !v.gavePicture
		v.lose("exited")
		return
	}
	at := c.answered(p)
	if c == v.successor {
		if !p.idr {
			return
		}
		v.discard(v.current.Process)
		v.current, v.successor, v.pictures = c, nil, 0
	}
	if v.pictures == 0 && !p.idr {
		return
	}
	v.pictures++
	v.gavePicture, v.cannotDecode = true, false
	if time.Since(c.Started) > stableAfter {
		v.failures = 0
		v.unwarn(warningParameters)
	}
	if v.pub == nil {
		v.replay(false) // its recent sound
	}
	if !v.fromChild {
		v.fromChild = true
		v.unwarn(warningFails)
	}
	v.forward(&stream.AccessUnit{
		Kind: stream.Video, PTS: at, DTS: at, Arrival: v.raw.Now(),
		Format: p.format, IDR: p.idr, NALUs: p.nalus,
	})
}

// lose handles the end of a child. If its pictures are on air, the leg is lost at once.
func (v *view) lose(reason string) {
	onAir := v.fromChild
	v.stopChildren()
	if onAir {
		v.end(stream.EndError)
	}
	v.failed(reason)
}

// failed counts a failure and delays the next attempt.
func (v *view) failed(reason string) {
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues(reason).Inc()
	v.retryAt = time.Now().Add(min(firstBackoff<<min(v.failures, 8), maxBackoff))
	v.failures++
	if v.failures >= maxFailures || v.cannotDecode {
		v.warn(warningFails, transcodeFails)
	}
}

// superviseChildren ends a child that hangs or is no longer needed, and starts a child if one is
// needed.
func (v *view) superviseChildren() {
	if v.rawPub == nil {
		return
	}
	v.judgePictures()
	switch {
	case v.current != nil && !v.needed():
		v.log.Info("ffmpeg stopped: nobody watches")
		v.stopChildren()
	case v.current != nil && v.inputChild().hangs(v.raw.Snapshot().Video.Interval):
		v.log.Info("ffmpeg hangs", "pid", v.inputChild().PID)
		// A child that has not read all its input is short of processor time.
		v.cannotDecode = !v.gavePicture && len(v.inputChild().input) == 0
		v.lose("hung")
	case v.current == nil && v.needsReencoding && v.canTranscode():
		v.start()
	}
	// A leg that waits for ffmpeg is lost. If no ffmpeg will come, the leg must not stay lost.
	if v.pub == nil && v.current == nil && (!v.needed() || v.failures >= maxFailures || !v.launches.allowed(time.Now())) {
		v.replay(true)
	}
}
