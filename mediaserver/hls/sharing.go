package hls

import (
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/hls/replica"
)

// A sharing is how a programme shares its list with the peers. Without peers, this server writes the
// list.
type sharing struct {
	inbox chan received // what peers send

	// Owned by run's goroutine, and changed with the programme's mu held:
	replica *replica.Replica
	clock   time.Duration     // of the replica
	drafts  map[string]*draft // by the name of the peer
	// inherited is when the last part of another server came, on the media clock; 0: the newest part
	// is this server's own.
	inherited time.Duration

	// Guarded by the programme's mu:
	mode   replica.Mode
	leader string // the name of the peer that is followed
	// isFollowing reports whether the programme's list is the leader's.
	isFollowing bool
	beat        time.Time     // when run last looked
	news        chan struct{} // closed and replaced when there is something to tell the peers
	paused      chan struct{} // closed and replaced when the connections to the peers are of no use
}

func newSharing(now time.Time) sharing {
	return sharing{
		inbox: make(chan received, inboxSize), replica: replica.New(0), drafts: make(map[string]*draft),
		beat: now, news: make(chan struct{}), paused: make(chan struct{}),
	}
}

// isMirrored reports whether other servers may answer for this one.
func (p *programme) isMirrored() bool { return p.handler.cfg.Peers != nil }

// decide decides on the mode. It reports whether this server cuts the media.
func (p *programme) decide(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	still := now.Sub(p.beat)
	p.beat = now
	p.clock += min(still, longestStep)
	if p.isMirrored() {
		p.replica.SetPeers(p.handler.cfg.Peers.Names(), p.clock)
		if still > stillness {
			p.log.Warn("the playlist stood still, so the peers are asked first", "for", still)
			p.replica.Pause(p.clock)
			p.reconnect()
		}
	}
	if mode, leader := p.replica.Step(p.own(), p.clock); mode != p.mode || leader != p.leader {
		if p.isMirrored() {
			p.log.Info("who writes the playlist has changed", "thisServer", mode.String(), "before", p.mode.String(), "peer", leader)
		}
		if p.isFollowing {
			p.reconnect() // the list is no longer the leader's, so nothing may be added to it from there
		}
		p.mode, p.leader, p.isFollowing = mode, leader, false
		p.tell()
		p.notify()
	}
	p.adopt()
	p.show()
	return p.mode == replica.Write || p.mode == replica.Wait && p.sub != nil
}

// reconnect ends the connections to the peers, and with them the drafts. New ones follow. p.mu must
// be held.
func (p *programme) reconnect() {
	clear(p.drafts)
	close(p.paused)
	p.paused = make(chan struct{})
}

// own returns what peers are told. p.mu must be held.
func (p *programme) own() replica.Report {
	r := replica.Report{
		Server: p.handler.cfg.BootID, First: p.isMirrored() && p.handler.cfg.Peers.First, Mode: p.mode, Next: p.next, Wanted: p.wanted,
	}
	if p.mode == replica.Follow {
		r.Leader = p.replica.Leader()
	}
	if p.list != nil && (p.mode != replica.Follow || p.isFollowing) {
		if r.Head = p.list.Head(); r.Head != (list.Position{}) {
			r.Discontinuity = p.list.DiscontinuitySequence()
		}
	}
	return r
}

// tell wakes those who tell the peers. p.mu must be held.
func (p *programme) tell() {
	close(p.news)
	p.news = make(chan struct{})
}

// A draft is the copy of a peer's list that is being received. When it goes as far as the leader's
// list, it becomes the programme's list, and is no draft any more.
type draft struct {
	plan
	list *list.List
}

// receive takes a message of a peer.
func (p *programme) receive(m received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.message == nil {
		p.replica.Lost(m.from, p.clock)
		delete(p.drafts, m.from)
		return
	}
	isLeader := m.from == p.leader
	d := p.drafts[m.from]
	switch {
	case m.Begin != nil:
		p.drafts[m.from] = &draft{m.Begin.Plan, list.New(m.Begin.List)}
		p.isFollowing = p.isFollowing && !isLeader
	case m.Part != nil && d != nil:
		d.list.Add(*m.Part)
	case m.End && d != nil:
		d.list.End()
	case m.Part != nil && p.isFollowing && isLeader:
		p.inherited = p.handler.cfg.Registry.Now()
		p.put(*m.Part)
		p.trim(time.Now())
	case m.End && p.isFollowing && isLeader:
		p.end()
	}
	if m.Report == nil {
		return
	}
	p.replica.Heard(m.from, *m.Report, p.clock)
	if m.Report.Mode == replica.Wait {
		delete(p.drafts, m.from)
	}
	if p.isFollowing && isLeader {
		p.next = m.Report.Next
	}
}

// adopt makes the list of the leader the programme's own, once it has been received. p.mu must be
// held.
func (p *programme) adopt() {
	d, report := p.drafts[p.leader], p.replica.Report(p.leader)
	if p.mode != replica.Follow || p.isFollowing || d == nil || report == nil || d.list.Head() == (list.Position{}) || d.list.Head().Compare(report.Head) < 0 {
		return
	}
	if p.list != nil {
		if p.numbersTold {
			d.list.ShowAfter(p.list.Segments())
		}
		p.retireAllBut(d.list)
	}
	p.plan, p.list, p.next = d.plan, d.list, report.Next
	p.isFollowing = true
	p.numbersTold = p.numbersTold || report.Wanted // the leader's players may come here
	delete(p.drafts, p.leader)
	p.inherited = p.handler.cfg.Registry.Now()
	for _, segment := range p.list.All() {
		for i, part := range segment.Parts {
			p.store.add(part, i == 0)
		}
		if segment.Complete {
			p.store.complete(segment)
		}
	}
	p.log.Info("this server has the playlist of its peer", "peer", p.leader, "segments", len(p.list.All()))
	p.trim(time.Now())
	p.tell()
	p.notify()
}

// retireAllBut removes the segments of the list, in favour of another list. Players may still have a
// playlist that names them. p.mu must be held.
func (p *programme) retireAllBut(kept *list.List) {
	names := make(map[cut.Name]bool)
	for _, segment := range kept.All() {
		names[segment.Name] = true
	}
	for _, segment := range p.list.All() {
		if names[segment.Name] {
			p.store.forget(segment)
		} else {
			p.store.retire([]*list.Segment{segment}, time.Now().Add(p.window()))
		}
	}
	p.store.gone = dropNamed(p.store, names)
}

// dropNamed forgets the segments of these names that have left the playlist, and returns the others.
func dropNamed(s *store, names map[cut.Name]bool) (rest []goneSegment) {
	for _, one := range s.gone {
		if names[one.Name] {
			s.forget(one.Segment)
		} else {
			rest = append(rest, one)
		}
	}
	return rest
}
