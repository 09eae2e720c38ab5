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
	"github.com/streampair/streampair/mediaserver/hls/replica"
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
	mixedSound  bool // the warning of noteSound is shown

	mu          sync.Mutex // guards all below
	plan        plan
	list        *list.List // nil: nothing has been played yet
	numbersTold bool       // players have been told the numbers of a list
	store       *store
	next        cut.Name      // the part that is made next; zero: none is
	hint        cut.Name      // the part that is shown next; zero: none is coming
	changed     chan struct{} // closed and replaced when what is shown changes
	texts       map[textKey]text
	asked       time.Time // when somebody last asked
	asking      int       // requests that are being answered
	wanted      bool      // whether somebody asks this server
	grace       time.Time // until then the programme goes on for a peer

	sharing
}

// run makes the playlist until ctx ends, the pair ends, or nobody asks any more.
func (p *programme) run(ctx context.Context) {
	interval := look
	if p.isMirrored() {
		interval = beat
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	defer p.leave()
	defer p.endSound()
	for {
		var switched <-chan struct{}
		var units <-chan *stream.AccessUnit
		var changed <-chan struct{}
		if p.decide(time.Now()) {
			var active *stream.Stream
			active, switched = p.source.active()
			p.follow(active)
		} else {
			p.leave()
		}
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
		case m := <-p.inbox:
			p.receive(m)
		case now := <-tick.C:
			p.inspect()
			p.noteSound()
			if !p.isWanted(now) {
				return
			}
		}
	}
}

// show shows as much of the list to players as the peers have. p.mu must be held.
func (p *programme) show() {
	if p.list == nil || p.mode != replica.Write && !p.isFollowing {
		return
	}
	before, hint := p.list.Shown(), p.hint
	p.list.Show(p.replica.Show(p.own(), p.clock))
	p.hint = p.next
	if part, ok := p.list.Hidden(); ok {
		p.hint = part.Name
	} else if p.list.Shown() != p.list.Head() {
		p.hint = cut.Name{}
	}
	if p.list.Shown() != before || p.hint != hint {
		p.notify()
	}
}

// follow turns to the stream on air. A stream without pictures is no substitute for one with
// pictures.
func (p *programme) follow(active *stream.Stream) {
	if active == p.on || active == nil {
		return
	}
	if p.plan.Video && !hasPictures(active.Snapshot().Video) {
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
	case p.plan.Target == 0 && p.begin(snap):
		p.replay()
	}
}

// begin decides on the plan. It reports whether it could.
func (p *programme) begin(snap stream.Snapshot) bool {
	var legs []stream.Snapshot
	for _, one := range p.source.streams {
		legs = append(legs, one.Snapshot())
	}
	made, ok := makePlan(snap, legs, p.handler.cfg.SettingsOf(p.key), p.on.Now())
	if !ok {
		return false
	}
	first, firstDiscontinuity := p.handler.firstNumbers()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = made
	p.list = list.New(list.Config{
		First: first, FirstDiscontinuity: firstDiscontinuity, Target: made.Target,
	})
	p.log.Info("a playlist began", "video", made.Video, "sound", made.Sound, "targetDuration", made.Target, "partTarget", made.PartTarget)
	return true
}

// take cuts an access unit.
func (p *programme) take(u *stream.AccessUnit) {
	if p.plan.Target == 0 || u.Seq <= p.seq {
		return // the cache will have it when the playlist begins, or it was in the cache
	}
	p.seq = u.Seq
	if u.Publication != p.publication {
		p.endCut()
		p.publication = u.Publication
		p.cutter = cut.New(cut.Config{
			Boot: p.handler.cfg.BootID, Publication: p.handler.cuts.Add(1), Epoch: p.handler.cfg.Registry.Epoch().Round(0),
			Segment: p.plan.Segment, Target: p.plan.Target, PartTarget: p.plan.PartTarget,
			Video: p.plan.Video, Sound: p.plan.Sound, Silence: p.silence(u.Publication), Mute: !u.Publication.Track(stream.Audio).Announced,
			After: p.edge(),
		})
	}
	p.add(p.cutter.Add(u))
}

// edge returns the end of the playlist on the media clock; 0: there is nothing yet. The clock of
// another server may differ, so what that server has made ends when it came.
func (p *programme) edge() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.inherited > 0:
		return p.inherited
	case p.list == nil || p.list.Edge().IsZero():
		return 0
	}
	return p.list.Edge().Sub(p.handler.cfg.Registry.Epoch().Round(0))
}

// silence returns the format of the sound with which a cut begins.
func (p *programme) silence(of *stream.Publication) *stream.Format {
	if f := of.Track(stream.Audio).Format; cut.Carries(f) {
		return f
	}
	return p.plan.Silence
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
	if p.list != nil && p.mode != replica.Follow {
		p.end()
	}
}

// end ends the newest segment, and with it what is being made. p.mu must be held.
func (p *programme) end() {
	if segments := p.list.All(); len(segments) > 0 {
		p.list.End()
		p.store.complete(segments[len(segments)-1])
	}
	p.next = cut.Name{}
	p.made()
}

// made notes a change of the list. p.mu must be held.
func (p *programme) made() {
	if p.mode == replica.Write {
		p.replica.Made(p.list.Head(), p.clock)
	}
	p.tell()
	p.show()
}

// add puts parts that were cut here into the list.
func (p *programme) add(parts []cut.Part) {
	if len(parts) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == replica.Follow {
		return // the peer's list goes on
	}
	p.inherited = 0
	for _, part := range parts {
		p.put(part)
	}
	p.trim(time.Now())
}

// put puts a part into the list. p.mu must be held.
func (p *programme) put(part cut.Part) {
	before := len(p.list.All())
	p.list.Add(part)
	segments := p.list.All()
	newest := segments[len(segments)-1]
	if isFirst := len(newest.Parts) == 1; isFirst && before > 0 {
		p.store.complete(segments[before-1])
	}
	p.store.add(part, len(newest.Parts) == 1)
	p.next = part.Name
	p.next.Part++
	if newest.Complete {
		p.store.complete(newest)
		p.next.Segment, p.next.Part = p.next.Segment+1, 0
	}
	p.made()
}

// window is how much media the playlist has. p.mu must be held.
func (p *programme) window() time.Duration {
	return max(p.handler.cfg.SettingsOf(p.key).Window, leastWindow*p.plan.Target)
}

// trim removes what the window does not need, and more if memory is short. p.mu must be held.
func (p *programme) trim(now time.Time) {
	removed := p.list.Trim(p.window(), leastSegments)
	p.store.retire(removed, now.Add(p.window()))
	p.store.expire(now)
	for p.store.account.Short() && len(p.list.All()) > leastSegments {
		removed = p.list.Trim(0, len(p.list.All())-1)
		p.store.retire(removed, now)
		p.store.expire(now)
	}
	if len(removed) > 0 {
		p.notify()
	}
}

// shed frees memory if the budget is short.
func (p *programme) shed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list != nil && p.store.account.Short() {
		p.trim(time.Now())
	}
}

// notify wakes those who wait for a change. p.mu must be held.
func (p *programme) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
	clear(p.texts)
}

// isReady reports whether there is a playlist that every player can begin with. p.mu must be held.
func (p *programme) isReady() bool {
	if p.list == nil || p.isMirrored() && (p.mode == replica.Wait || time.Since(p.beat) > stillness) {
		return false
	}
	return slices.ContainsFunc(p.list.Segments(), func(s *list.Segment) bool { return s.Complete })
}

// media returns the media playlist. p.mu must be held.
func (p *programme) media(query string, skip bool) playlist.Media {
	return playlist.Media{
		Segments: p.list.Segments(), Target: p.plan.Target, PartTarget: p.plan.PartTarget,
		Hint: p.hint, Prefix: p.key.Primary + "/", Query: query, Skip: skip,
	}
}

// ask notes that somebody asks. answered must be called when the answer has been given.
func (p *programme) ask() (answered func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking++
	if !p.wanted {
		p.wanted = true
		p.tell()
	}
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
	idle, begun := now.Sub(p.asked), p.list != nil && len(p.list.All()) > 0
	p.wanted = p.asking > 0 || idle < lingerEmpty || begun && idle < p.handler.cfg.linger(p.plan.Target)
	if p.replica.IsWanted(p.clock) {
		p.grace = now.Add(p.handler.cfg.linger(p.plan.Target)) // the players of a peer that ends come here
	}
	wanted := p.wanted || now.Before(p.grace)
	if begun {
		p.store.expire(now)
	}
	p.mu.Unlock()
	if serving := wanted && begun; serving != p.serving {
		p.serving = serving
		p.onServing(serving)
	}
	if p.handler.cfg.SettingsOf(p.key).Mode == Off {
		return false
	}
	return wanted || p.handler.isKept(p.key)
}

// isInUse reports whether somebody has asked just now, where a drain has lasted for so long.
func (p *programme) isInUse(drained time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return drained < p.window() && (p.asking > 0 || time.Since(p.asked) < goneAfter)
}
