package transcode

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode/internal/exact"
)

const (
	// viewDepth is how many access units may wait while the view's goroutine starts an
	// ffmpeg. That is some 3 s of a stream of 60 fps with sound.
	viewDepth = 512
	// viewTick is how often a view checks its ffmpeg children.
	viewTick = 250 * time.Millisecond
)

// A view makes the derived stream of one raw stream.
type view struct {
	cfg          ViewsConfig
	raw, derived *stream.Stream
	log          *slog.Logger

	refs   int // guarded by Views.mu
	cancel context.CancelFunc
	ended  chan struct{} // closed when run has returned
	demand atomic.Int32  // number of Views that need the pictures
	wake   chan struct{} // cap 1: demand has changed

	viewState
}

// viewState is the state of run's goroutine. It starts anew after a panic.
type viewState struct {
	sub     *stream.Subscription
	rawPub  *stream.Publication // the publication whose access units come
	lastSeq uint64              // of the last access unit, within rawPub
	warned  map[string]string   // warnings about rawPub, by code
	// needsReencoding reports whether rawPub has sent a picture that must be re-encoded. The SPS
	// does not show this: many an SPS allows B-frames that never come.
	needsReencoding bool
	// withoutIDR reports whether rawPub sends recovery points but no IDR, for longer
	// than a GOP is cached. No player can begin with its pictures.
	withoutIDR bool
	// limited is the limitation of the raw stream's pictures, see stream.Format.
	limited string
	// reordered reports whether the raw stream may have B-frames.
	reordered  bool
	shownState pictureState // the state that pub shows

	// pub is the present publication of the derived stream. It is nil when the leg is
	// lost although the publisher is there. While pub waits for its first IDR, the
	// publication before it stays on air; that is previous.
	pub, previous *stream.Publication

	filter             exact.Filter
	filtered, filterOf *stream.Format // the filter's output format, and the input format it was made of

	transcoder
	sound sound
}

func newView(cfg ViewsConfig, slots chan struct{}, raw *stream.Stream) *view {
	return &view{
		cfg: cfg, raw: raw, derived: stream.NewDerived(raw),
		log:       cfg.Logger.With("stream", raw.Key().String()),
		ended:     make(chan struct{}),
		wake:      make(chan struct{}, 1),
		viewState: viewState{transcoder: transcoder{slots: slots}},
	}
}

// keepRunning runs the view until ctx ends. After a panic it expels the publisher that fed the
// view, and starts anew. Readers of the derived stream stay connected.
func (v *view) keepRunning(ctx context.Context) {
	for v.cfg.Recovery.Do("transcode", func() { v.run(ctx) }) != nil {
		if v.rawPub != nil {
			v.rawPub.Expel()
		}
		if v.cfg.Recovery.Reason() != nil {
			return // or the view would panic again and again until the server has ended
		}
		v.viewState = viewState{transcoder: transcoder{slots: v.slots, launches: v.launches}}
	}
}

// run follows the raw stream until ctx ends.
func (v *view) run(ctx context.Context) {
	v.sub = v.raw.Subscribe(viewDepth)
	defer v.sub.Close()
	defer v.end(stream.EndShutdown)
	defer v.stopChildren()
	defer v.stopSound()
	tick := time.NewTicker(viewTick)
	defer tick.Stop()
	for _, u := range v.raw.Cached() {
		v.take(u)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-v.sub.C:
			v.take(u)
		case <-v.sub.Changed:
			v.checkPublisher()
		case <-v.wake:
			v.superviseChildren()
		case <-tick.C:
			v.superviseChildren()
			v.superviseSound()
		case f, ok := <-framesOf(v.sound.child):
			v.forwardSoundFromChild(f, ok)
		case p, ok := <-picturesOf(v.current):
			v.forwardFromChild(v.current, p, ok)
		case p, ok := <-picturesOf(v.successor):
			v.forwardFromChild(v.successor, p, ok)
		}
	}
}

// checkPublisher checks whether the publisher has gone. It also passes on changes of the raw
// stream's warnings, and whether the publisher is leaving.
func (v *view) checkPublisher() {
	v.derived.ParentChanged()
	before := v.rawPub
	if before == nil || !before.Ended() {
		return // if it ends later, checkPublisher is called again
	}
	v.raw.Snapshot() // waits until a publisher that takes over has sent its first access unit
	for {            // what was sent before still counts
		select {
		case u := <-v.sub.C:
			v.take(u)
			continue
		default:
		}
		break
	}
	if v.rawPub != before {
		return // another publisher has taken over
	}
	v.stopChildren()
	v.stopSound()
	v.end(stream.EndClosed)
	v.rawPub = nil
	v.filter.Break()
}

// take handles one access unit of the raw stream.
func (v *view) take(u *stream.AccessUnit) {
	if u.Publication != v.rawPub {
		v.rawPub, v.lastSeq, v.warned = u.Publication, 0, make(map[string]string)
		v.stopChildren() // the new publisher's first IDR needs no child, and the rest may not either
		v.stopSound()
		v.sound = sound{launches: v.sound.launches}
		v.needsReencoding, v.withoutIDR, v.limited, v.shownState = false, false, "", pictureState{}
		v.failures, v.gavePicture, v.cannotDecode = 0, false, false
		v.begin()
	}
	if u.Seq <= v.lastSeq {
		return // already taken from the cache
	}
	v.lastSeq = u.Seq
	if u.IDR {
		v.withoutIDR = false
	} else if u.RecoveryPoint && !v.raw.Snapshot().EntryPoint {
		v.withoutIDR = true
	}
	switch {
	case u.Kind == stream.Audio:
		v.takeSound(u)
	case u.Format.Reordered || u.Format.Limitation != "" || v.withoutIDR:
		v.takeUnplayable(u)
	default:
		if u.IDR { // the encoder has new settings, or never needed re-encoding
			v.needsReencoding, v.limited = false, ""
			v.stopChildren()
			v.judgePictures()
		}
		v.filter.Show(exact.Picture{PTS: u.PTS, NALUs: u.NALUs})
		v.forward(u)
	}
}

// takeUnplayable handles a picture that not every player can show. The stream may have
// B-frames, a limitation, or no IDRs.
func (v *view) takeUnplayable(u *stream.AccessUnit) {
	isExact := v.filter.Show(exact.Picture{PTS: u.PTS, NALUs: u.NALUs})
	v.limited, v.reordered = u.Format.Limitation, u.Format.Reordered
	v.needsReencoding = v.needsReencoding || !isExact && u.Format.Reordered || v.limited != "" || v.withoutIDR
	v.judgePictures()
	if v.needsReencoding {
		v.transcode(u)
	}
	if !v.fromChild {
		v.show(u, isExact)
	}
}

// show forwards a picture without re-encoding, if players can show it as it is.
func (v *view) show(u *stream.AccessUnit, isExact bool) {
	switch {
	case v.pub == nil:
	case isExact && !u.Format.Reordered:
		v.forward(u)
	case !isExact || !v.forwardFiltered(u):
		v.pub.Heard(u)
	}
}

// forwardFiltered forwards a picture with an SPS that excludes B-frames. It reports
// false if the SPS can't be rewritten.
func (v *view) forwardFiltered(u *stream.AccessUnit) bool {
	if v.filterOf != u.Format {
		v.filterOf, v.filtered = u.Format, nil
		sps, err := exact.WithoutReordering(u.Format.SPS)
		if err != nil {
			v.log.Warn("the stream's SPS cannot be rewritten; none of its pictures can be shown", "err", err)
			return false
		}
		f := *u.Format
		f.SPS, f.Reordered = sps, false
		v.filtered = &f
	}
	if v.filtered == nil {
		return false
	}
	own := *u
	own.Format = v.filtered
	v.forward(&own)
	return true
}

func (v *view) forward(u *stream.AccessUnit) {
	if v.pub == nil {
		return
	}
	// Forward fails only if somebody else has ended the derived stream's publication,
	// which nobody does.
	_ = v.pub.Forward(u)
}

// begin starts a publication of the derived stream for the raw stream's publication. A
// publication that exists already stays on air until the new one's first IDR.
func (v *view) begin() {
	snap := v.raw.Snapshot()
	req := stream.PublishRequest{Key: v.raw.Key(), Authenticated: true, MadeOf: v.rawPub}
	if p := snap.Publication; p != nil {
		req.Protocol, req.Remote = p.Protocol, p.Remote
		if p.TakesIDRRequests {
			req.RequestIDR = func() { v.raw.RequestIDR() }
		}
	}
	if v.previous != nil {
		v.previous.End(stream.EndTakenOver)
	}
	v.previous = v.pub
	pub, err := v.derived.Publish(req)
	if err != nil {
		v.log.Error("the stream cannot be made playable", "err", err)
		return
	}
	v.pub, v.shownState = pub, pictureState{}
	// The tracks that the publisher announced are expected from the start. So a leg
	// whose video is still to come does not count as audio-only. The formats are
	// valid, because the publisher's were.
	if f := snap.Video.Format; f != nil {
		_ = pub.SetVideoParameters(f.SPS, f.PPS)
	}
	if f := snap.Audio.Format; f != nil {
		_ = pub.SetAudioFormat(*f)
	}
}

// end ends the derived stream's publications, so that the leg is lost at once.
func (v *view) end(reason stream.EndReason) {
	for _, p := range []*stream.Publication{v.pub, v.previous} {
		if p != nil {
			p.End(reason)
		}
	}
	v.pub, v.previous = nil, nil
}

// replay begins a new publication and forwards what the view has taken of the raw stream's cache.
func (v *view) replay(video bool) {
	v.begin()
	v.filter.Break()
	for _, u := range v.raw.Cached() {
		if u.Publication != v.rawPub || u.Seq > v.lastSeq {
			continue
		}
		switch {
		case u.Kind == stream.Audio && v.sound.child == nil:
			v.forward(u)
		case u.Kind == stream.Audio || !video:
		default:
			v.show(u, v.filter.Show(exact.Picture{PTS: u.PTS, NALUs: u.NALUs}))
		}
	}
}

// warn adds a warning to the raw stream's publication. It replaces a warning with the same code.
func (v *view) warn(code, message string) {
	if v.warned[code] != message {
		v.warned[code] = message
		v.raw.Warn(code, message)
	}
}

func (v *view) unwarn(code string) {
	if v.warned[code] != "" {
		delete(v.warned, code)
		v.raw.Unwarn(code)
	}
}
