package transcode

import (
	"bytes"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// An ffmpeg that ended is replaced after firstBackoff, twice that the next time, at
	// most maxBackoff; one that worked for stableAfter starts over.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 5 * time.Second
	stableAfter  = 30 * time.Second
	// hopeless is how many failures without a single picture it takes to go on without
	// ffmpeg, trying it now and then.
	hopeless = 3
)

// transcoder is the part of a view that looks after its ffmpeg children. There is one
// while somebody needs the pictures; when the stream's parameters change a successor is
// started beside it, and takes its place with its first picture.
type transcoder struct {
	slots   chan struct{}
	holding bool // a slot

	current, successor *child
	// fromChild says that the derived stream's pictures are current's.
	fromChild bool

	neededUntil time.Time // while nobody demands pictures
	failures    int       // in a row
	pictures    int       // of current
	retryAt     time.Time
	launches    launches
}

// picturesOf is nil, which is never ready, for no child.
func picturesOf(c *child) <-chan picture {
	if c == nil {
		return nil
	}
	return c.pictures
}

// transcode puts the raw stream's newest picture into the children, and starts them.
func (v *view) transcode(u *stream.AccessUnit) {
	if !v.canTranscode() {
		return
	}
	if v.current == nil {
		v.start()
		return
	}
	if fed := v.fed(); begins(u) && !fed.fits(u) {
		v.replace(u)
		return
	}
	if !v.fed().write(u) {
		v.cfg.Metrics.FramesDropped.WithLabelValues("transcode").Inc()
	}
}

// willReencode reports whether viewers get re-encoded pictures as soon as there are viewers.
func (v *view) willReencode() bool {
	return v.failures < hopeless && v.mayHold()
}

// mayHold reports whether the view has a slot or can have one.
func (v *view) mayHold() bool {
	return v.canTranscode() && (v.holding || len(v.slots) < cap(v.slots))
}

// hold takes a slot for the view's children, unless the view has one. hold reports false
// if all are taken.
func (v *view) hold() bool {
	if v.holding {
		return true
	}
	select {
	case v.slots <- struct{}{}:
		v.holding = true
	default:
	}
	return v.holding
}

// release gives the slot back if the view has no children.
func (v *view) release() {
	if v.holding && v.current == nil && v.successor == nil && v.sound.child == nil {
		v.holding = false
		<-v.slots
	}
}

func (v *view) canTranscode() bool { return v.cfg.FFmpegPath != "" && v.cfg.MaxTranscodes > 0 }

// fed is the child that pictures are put into.
func (v *view) fed() *child {
	if v.successor != nil {
		return v.successor
	}
	return v.current
}

// fits says whether the child can go on with u, an IDR.
func (c *child) fits(u *stream.AccessUnit) bool {
	return bytes.Equal(u.Format.SPS, c.format.SPS) && bytes.Equal(u.Format.PPS, c.format.PPS) &&
		time.Since(c.started) < maxChildAge
}

// needed says whether pictures are demanded, or were until lately.
func (v *view) needed() bool {
	if v.demand.Load() > 0 {
		v.neededUntil = time.Now().Add(v.cfg.Linger)
		return true
	}
	return time.Now().Before(v.neededUntil)
}

// start starts a child with what was taken of the raw stream since the last IDR, if one
// is needed and allowed.
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
	if len(since) == 0 || !begins(since[0]) || !v.reencodes {
		return // the cache is ahead of us or was too small: with the next IDR
	}
	if !v.hold() {
		v.warn(warningFull, transcodesFull)
		return
	}
	v.unwarn(warningFull)
	v.current, v.pictures = v.launch(since), 0
	if v.current == nil {
		v.failed("start")
	}
}

// replace starts a successor of the child at u, an IDR with other parameters. If children
// were started too often lately there is none for a while: the pictures that need no
// re-encoding go on.
func (v *view) replace(u *stream.AccessUnit) {
	if !v.launches.allowed(time.Now()) {
		v.cfg.Metrics.FFmpegRestarts.WithLabelValues("postponed").Inc()
		v.warn(warningParameters, parametersChange)
		v.stopChildren()
		return
	}
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues("parameters").Inc()
	if v.successor != nil {
		v.discard(v.successor.process)
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
	v.log.Info("ffmpeg started to re-encode video", "pid", c.pid, "backlog", len(since))
	return c
}

// discard ends a process and waits for it, which takes as long as the kernel needs.
func (v *view) discard(p *process) {
	p.stop()
	<-p.done
	v.cfg.Metrics.FFmpegChildren.Dec()
}

// stopChildren ends what runs, and leaves the pictures to the filter.
func (v *view) stopChildren() {
	for _, c := range []*child{v.current, v.successor} {
		if c != nil {
			v.discard(c.process)
		}
	}
	v.current, v.successor = nil, nil
	if v.fromChild {
		v.fromChild = false
		v.filter.Break() // viewers' decoders hold the child's pictures
	}
	v.release()
}

// give hands on a picture of child c; without ok the child is at its end.
func (v *view) give(c *child, p picture, ok bool) {
	if !ok {
		<-c.done
		v.log.Warn("ffmpeg ended", "err", c.err)
		if recovery.Is(c.err) {
			v.rawPub.Expel() // what is started in its place must not meet the same bytes
		}
		v.lose("exited")
		return
	}
	at := c.took(p)
	if c == v.successor {
		if !p.idr {
			return
		}
		v.discard(v.current.process)
		v.current, v.successor, v.pictures = c, nil, 0
	}
	if v.pictures == 0 && !p.idr {
		return
	}
	v.pictures++
	if time.Since(c.started) > stableAfter {
		v.failures = 0
		v.unwarn(warningParameters)
	}
	if v.pub == nil {
		v.replay(false) // its recent audio
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

// lose handles the end of a child: if its pictures are on air, the leg is lost at once.
func (v *view) lose(reason string) {
	onAir := v.fromChild
	v.stopChildren()
	if onAir {
		v.end(stream.EndError)
	}
	v.failed(reason)
}

// failed puts off the next attempt.
func (v *view) failed(reason string) {
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues(reason).Inc()
	v.retryAt = time.Now().Add(min(firstBackoff<<min(v.failures, 8), maxBackoff))
	v.failures++
	if v.failures >= hopeless {
		v.warn(warningFails, transcodeFails)
	}
}

// attend looks whether the child hangs or is needed no more, and whether one is to be
// started.
func (v *view) attend() {
	if v.rawPub == nil {
		return
	}
	v.judgePictures()
	switch {
	case v.current != nil && !v.needed():
		v.log.Info("ffmpeg stopped: nobody watches")
		v.stopChildren()
	case v.current != nil && v.fed().hangs(v.raw.Snapshot().Video.Interval):
		v.log.Warn("ffmpeg hangs", "pid", v.fed().pid)
		v.lose("hung")
	case v.current == nil && v.reencodes && v.canTranscode():
		v.start()
	}
	// A leg that waits for ffmpeg is lost; it must not be when none is to come.
	if v.pub == nil && v.current == nil && (!v.needed() || v.failures >= hopeless || !v.launches.allowed(time.Now())) {
		v.replay(true)
	}
}
