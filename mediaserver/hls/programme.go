package hls

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/hls/playlist"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// depth is how many access units of a stream are queued while the programme is busy.
	depth = 1024
	// look is how often a programme looks whether it may begin, and whether anybody asks.
	look = 200 * time.Millisecond
	// leastWindow is the shortest window in target durations: the draft's skip boundary.
	leastWindow = 6
)

// A programme is one playlist that is being made: of a pair, or of a single stream.
type programme struct {
	handler *Handler
	key     failover.PairKey
	number  uint64 // unique within the server, for ETags
	source  source
	log     *slog.Logger
	stop    context.CancelFunc
	done    chan struct{} // closed when the programme has ended
	// onServing is called with each change of whether somebody asks, and there is media to serve.
	onServing func(bool)

	// Owned by run's goroutine:
	on          *stream.Stream // the stream that is cut; nil: none
	sub         *stream.Subscription
	seq         uint64 // of the last access unit that was taken
	cutter      *cut.Cutter
	publication *stream.Publication // that the cutter cuts
	serving     bool

	mu      sync.Mutex // guards all below
	plan    plan
	list    *list.List // nil: nothing has been played yet
	store   *store
	hint    cut.Name      // the next part; zero: none is coming
	changed chan struct{} // closed and replaced when list or hint changes
	version uint64        // counts the changes
	texts   map[textKey][]byte
	asked   time.Time // when somebody last asked
	asking  int       // requests that are being answered
}

// run makes the playlist until ctx ends, the pair ends, or nobody asks any more.
func (p *programme) run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	defer p.leave()
	for {
		active, switched := p.source.active()
		p.follow(active)
		var units <-chan *stream.AccessUnit
		var changed <-chan struct{}
		if p.sub != nil {
			units, changed = p.sub.C, p.sub.Changed
		}
		select {
		case <-ctx.Done():
			return
		case <-p.source.done():
			return
		case <-switched:
		case u := <-units:
			p.take(u)
		case <-changed:
			p.inspect()
		case now := <-tick.C:
			p.inspect()
			if !p.isWanted(now) {
				return
			}
		}
	}
}

// follow turns to the stream on air. A stream without pictures is no substitute for one with
// pictures.
func (p *programme) follow(active *stream.Stream) {
	if active == p.on || active == nil {
		return
	}
	if p.plan.video && !hasPictures(active.Snapshot().Video) {
		return
	}
	p.leave()
	p.on, p.seq, p.sub = active, 0, active.Subscribe(depth)
	p.replay()
}

// leave stops reading the current stream.
func (p *programme) leave() {
	p.endCut()
	if p.sub != nil {
		p.sub.Close()
	}
	p.on, p.sub = nil, nil
}

// replay takes what the stream has cached since its last IDR. So players see the stream at once.
func (p *programme) replay() {
	for _, u := range p.on.Cached() {
		p.take(u)
	}
}

// inspect ends the cut of a publication that has ended. It begins the playlist when the tracks are
// known.
func (p *programme) inspect() {
	if p.on == nil {
		return
	}
	snap := p.on.Snapshot()
	switch {
	case p.publication != nil && (snap.Publication == nil || snap.Publication.ID != p.publication.ID()):
		// The publication may have sent more before it ended.
		for n := len(p.sub.C); n > 0; n-- {
			p.take(<-p.sub.C)
		}
		if p.publication != nil && p.publication.Ended() {
			p.endCut()
		}
	case p.publication != nil && snap.Audio.Announced:
		p.cutter.Announce()
	case p.plan.target == 0 && p.begin(snap):
		p.replay()
	}
}

// begin decides on the plan. It reports whether it could.
func (p *programme) begin(snap stream.Snapshot) bool {
	var legs []stream.Snapshot
	for _, one := range p.source.streams {
		legs = append(legs, one.Snapshot())
	}
	made, ok := makePlan(snap, legs, p.handler.cfg.Settings, p.on.Now())
	if !ok {
		return false
	}
	first, firstDiscontinuity := p.handler.firstNumbers()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = made
	p.list = list.New(list.Config{
		First: first, FirstDiscontinuity: firstDiscontinuity, Target: made.target, Epoch: p.handler.cfg.Registry.Epoch(),
	})
	p.log.Info("a playlist began", "video", made.video, "sound", made.sound, "targetDuration", made.target, "partTarget", made.partTarget)
	return true
}

// take cuts an access unit.
func (p *programme) take(u *stream.AccessUnit) {
	if p.plan.target == 0 || u.Seq <= p.seq {
		return // the cache will have it when the playlist begins, or it was in the cache
	}
	p.seq = u.Seq
	if u.Publication != p.publication {
		p.endCut()
		p.publication = u.Publication
		p.cutter = cut.New(cut.Config{
			Boot: p.handler.cfg.BootID, Publication: p.handler.cuts.Add(1),
			Segment: p.handler.cfg.Settings.Segment, Target: p.plan.target, PartTarget: p.plan.partTarget,
			Video: p.plan.video, Sound: p.plan.sound, Silence: p.silence(u.Publication), Mute: !u.Publication.Track(stream.Audio).Announced,
			After: p.edge(),
		})
	}
	p.add(p.cutter.Add(u))
}

// edge returns the end of the playlist on the media clock; 0: there is nothing yet.
func (p *programme) edge() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		return 0
	}
	return p.list.Edge()
}

// silence returns the format of the sound with which a cut begins.
func (p *programme) silence(of *stream.Publication) *stream.Format {
	if f := of.Track(stream.Audio).Format; cut.Carries(f) {
		return f
	}
	return p.plan.silence
}

// endCut ends the cut of the current publication.
func (p *programme) endCut() {
	if p.cutter == nil {
		return
	}
	parts := p.cutter.End()
	p.cutter, p.publication = nil, nil
	p.add(parts)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list != nil {
		p.end()
	}
}

// end ends the newest segment, and with it what is being made. p.mu must be held.
func (p *programme) end() {
	if segments := p.list.Segments(); len(segments) > 0 {
		p.list.End()
		p.store.complete(segments[len(segments)-1])
	}
	p.hint = cut.Name{}
	p.notify()
}

// add puts parts into the list.
func (p *programme) add(parts []cut.Part) {
	if len(parts) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range parts {
		before := len(p.list.Segments())
		p.list.Add(part)
		segments := p.list.Segments()
		newest := segments[len(segments)-1]
		if isFirst := len(newest.Parts) == 1; isFirst && before > 0 {
			p.store.complete(segments[before-1])
		}
		p.store.add(part, len(newest.Parts) == 1)
		p.hint = part.Name
		p.hint.Part++
		if newest.Complete {
			p.store.complete(newest)
			p.hint.Segment, p.hint.Part = p.hint.Segment+1, 0
		}
	}
	p.trim(time.Now())
	p.notify()
}

// trim removes what the window does not need, and more if memory is short. p.mu must be held.
func (p *programme) trim(now time.Time) {
	window := max(p.handler.cfg.Settings.Window, leastWindow*p.plan.target)
	p.store.retire(p.list.Trim(window, leastSegments), now.Add(window))
	p.store.expire(now)
	for p.store.account.Short() && len(p.list.Segments()) > leastSegments {
		p.store.retire(p.list.Trim(0, len(p.list.Segments())-1), now)
		p.store.expire(now)
	}
}

// shed frees memory if the budget is short.
func (p *programme) shed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list != nil && p.store.account.Short() {
		p.trim(time.Now())
		p.notify()
	}
}

// notify wakes those who wait for a change. p.mu must be held.
func (p *programme) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
	p.version++
	clear(p.texts)
}

// isReady reports whether there is a playlist that every player can begin with. p.mu must be held.
func (p *programme) isReady() bool {
	return p.list != nil && slices.ContainsFunc(p.list.Segments(), func(s *list.Segment) bool { return s.Complete })
}

// media returns the media playlist. p.mu must be held.
func (p *programme) media(query string, skip bool) playlist.Media {
	return playlist.Media{
		Segments: p.list.Segments(), Target: p.plan.target, PartTarget: p.plan.partTarget,
		Hint: p.hint, Prefix: p.key.Primary + "/", Query: query, Skip: skip,
	}
}

// ask notes that somebody asks. answered must be called when the answer has been given.
func (p *programme) ask() (answered func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking--
		p.asked = time.Now()
	}
}

// isWanted reports whether anybody has asked lately. It tells onServing of a change.
func (p *programme) isWanted(now time.Time) bool {
	p.mu.Lock()
	idle, begun := now.Sub(p.asked), p.list != nil && len(p.list.Segments()) > 0
	wanted := p.asking > 0 || idle < lingerEmpty || begun && idle < p.handler.cfg.linger(p.plan.target)
	if begun {
		p.store.expire(now)
	}
	p.mu.Unlock()
	if serving := wanted && begun; serving != p.serving {
		p.serving = serving
		p.onServing(serving)
	}
	return wanted
}
