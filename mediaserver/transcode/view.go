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
	// viewDepth holds the access units of a stream while the view's goroutine starts an
	// ffmpeg: some 3 s of a 60 fps stream with audio.
	viewDepth = 512
	// viewTick is how often a view looks whether its ffmpeg hangs or is needed no more.
	viewTick = 250 * time.Millisecond
)

// view makes one derived stream of one raw stream.
type view struct {
	cfg          ViewsConfig
	raw, derived *stream.Stream
	log          *slog.Logger

	refs   int // guarded by Views.mu
	cancel context.CancelFunc
	ended  chan struct{} // closed when run has returned
	demand atomic.Int32  // how many need the pictures
	wake   chan struct{} // cap 1: demand changed

	viewState
}

// viewState is what run's goroutine has found out and made. It begins anew after a panic.
type viewState struct {
	sub     *stream.Subscription
	rawPub  *stream.Publication // whose access units come
	lastSeq uint64              // of the last one, within rawPub
	warned  map[string]string   // messages of rawPub, by code
	// reencodes says that rawPub had a picture that is to be re-encoded. Many an SPS allows
	// for B-frames that never come.
	reencodes bool
	// withoutIDR says that rawPub sends recovery points and no IDR, for longer than a GOP is
	// cached: no player can begin with its pictures.
	withoutIDR bool
	// limited is the limitation of the raw stream's pictures, see stream.Format.
	limited string
	// reordered says that the raw stream's pictures may have B-frames among them.
	reordered bool
	judged    judgement // of pub

	// pub is what the derived stream is fed with; nil when the leg is lost although
	// the publisher is there. It may still wait for its first IDR behind old.
	pub, old *stream.Publication

	filter             exact.Filter
	filtered, filterOf *stream.Format // what the filter sends, of which format

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

// keepRunning runs the view until ctx ends. After a panic the publisher that fed the view
// is expelled, and the view begins anew: those who read the derived stream stay.
func (v *view) keepRunning(ctx context.Context) {
	for v.cfg.Recovery.Do("transcode", func() { v.run(ctx) }) != nil {
		if v.rawPub != nil {
			v.rawPub.Expel()
		}
		if v.cfg.Recovery.Reason() != nil {
			return // or it would panic for as long as the server takes to end
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
			v.look()
		case <-v.wake:
			v.attend()
		case <-tick.C:
			v.attend()
			v.attendSound()
		case f, ok := <-framesOf(v.sound.child):
			v.giveSound(f, ok)
		case p, ok := <-picturesOf(v.current):
			v.give(v.current, p, ok)
		case p, ok := <-picturesOf(v.successor):
			v.give(v.successor, p, ok)
		}
	}
}

// look finds out whether the publisher has gone, and shows its stream's warnings, and that
// it is leaving.
func (v *view) look() {
	v.derived.ParentChanged()
	before := v.rawPub
	if before == nil || !before.Ended() {
		return // if it ends now, there is another look
	}
	v.raw.Snapshot() // waits until whoever takes it over has sent its first access unit
	for {            // what it sent before still counts
		select {
		case u := <-v.sub.C:
			v.take(u)
			continue
		default:
		}
		break
	}
	if v.rawPub != before {
		return // taken over
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
		v.stopChildren() // the newcomer's first IDR needs none, and may be followed by none
		v.stopSound()
		v.sound = sound{launches: v.sound.launches}
		v.reencodes, v.withoutIDR, v.limited, v.failures, v.judged = false, false, "", 0, judgement{}
		v.begin()
	}
	if u.Seq <= v.lastSeq {
		return // came out of the cache already
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
		if u.IDR { // the encoder was told at last, or never needed to be
			v.reencodes, v.limited = false, ""
			v.stopChildren()
			v.judgePictures()
		}
		v.filter.Show(exact.Picture{PTS: u.PTS, NALUs: u.NALUs})
		v.forward(u)
	}
}

// takeUnplayable handles a picture of a stream that may have B-frames, or whose pictures
// many players cannot show.
func (v *view) takeUnplayable(u *stream.AccessUnit) {
	isExact := v.filter.Show(exact.Picture{PTS: u.PTS, NALUs: u.NALUs})
	v.limited, v.reordered = u.Format.Limitation, u.Format.Reordered
	v.reencodes = v.reencodes || !isExact && u.Format.Reordered || v.limited != "" || v.withoutIDR
	v.judgePictures()
	if v.reencodes {
		v.transcode(u)
	}
	if !v.fromChild {
		v.show(u, isExact)
	}
}

// show hands a picture on that is not re-encoded, if it is exact as it is.
func (v *view) show(u *stream.AccessUnit, isExact bool) {
	switch {
	case v.pub == nil:
	case isExact && !u.Format.Reordered:
		v.forward(u)
	case !isExact || !v.forwardFiltered(u):
		v.pub.Heard(u)
	}
}

// forwardFiltered forwards a picture that is exact as it is; false if it cannot be.
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
	// An error means that the derived stream's publication was ended behind our back,
	// which nobody does.
	_ = v.pub.Forward(u)
}

// begin starts a publication of the derived stream for the one of the raw stream. If
// there is one already it stays on air until the new one's first IDR.
func (v *view) begin() {
	snap := v.raw.Snapshot()
	req := stream.PublishRequest{Key: v.raw.Key(), Authenticated: true, MadeOf: v.rawPub}
	if v.raw.RequestIDR() { // the only way to learn whether the publisher can be asked
		req.RequestIDR = func() { v.raw.RequestIDR() }
	}
	if snap.Publication != nil {
		req.Protocol, req.Remote = snap.Publication.Protocol, snap.Publication.Remote
	}
	if v.old != nil {
		v.old.End(stream.EndTakenOver)
	}
	v.old = v.pub
	pub, err := v.derived.Publish(req)
	if err != nil {
		v.log.Error("the stream cannot be made playable", "err", err)
		return
	}
	v.pub, v.judged = pub, judgement{}
	// What the publisher announced is expected from the start: a leg whose video has
	// yet to come is not an audio-only leg. Errors would have been the publisher's.
	if f := snap.Video.Format; f != nil {
		_ = pub.SetVideoParameters(f.SPS, f.PPS)
	}
	if f := snap.Audio.Format; f != nil {
		_ = pub.SetAudioFormat(*f)
	}
}

// end makes the derived stream lost at once.
func (v *view) end(reason stream.EndReason) {
	for _, p := range []*stream.Publication{v.pub, v.old} {
		if p != nil {
			p.End(reason)
		}
	}
	v.pub, v.old = nil, nil
}

// replay begins anew with what the raw stream has cached, as much of it as was taken.
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

// warn warns of the publication. Another message of the same code replaces the one before.
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
