package failover

import (
	"slices"
	"time"
)

// MaxHistory is how many entries a pair keeps.
const MaxHistory = 50

// steadyTime is how long a pair must be on air again, or redundant again, before the history says
// so. Each loss within dampingWindow of the previous one doubles the time, up to maxRecovery. A leg
// that comes and goes thereby does not fill the history.
const steadyTime = 2 * time.Second

// A Kind says what happened. Its values are API.
type Kind string

// The kinds.
const (
	// KindOnAir: viewers get a picture, for the first time or after KindDark.
	KindOnAir Kind = "OnAir"
	// KindDark: neither leg has media.
	KindDark Kind = "Dark"
	// KindSwitched: the other leg was put on air.
	KindSwitched Kind = "Switched"
	// KindRedundant: both legs are whole, so that each of them could take over.
	KindRedundant Kind = "Redundant"
	// KindRedundancyLost: one leg is no longer whole.
	KindRedundancyLost Kind = "RedundancyLost"
)

// An Entry is one event of a pair's history.
type Entry struct {
	Kind Kind
	// At is when the event happened, on the media clock. An entry of KindOnAir or KindRedundant is
	// made some time after that: see steadyTime.
	At time.Duration
	// Leg is the leg that the event is about: the leg that was put on air, was on air until it was
	// dark, was lost, or came back.
	Leg Role
	// Reason says why; empty: the leg's media came back.
	Reason Reason
	// Gap is how long viewers had no new picture, for KindSwitched and KindOnAir; 0: they had none
	// before.
	Gap time.Duration
}

// A history is what happened to a pair. It is a value.
type history struct {
	entries []Entry // oldest first; the entries are not changed
	dark    lapse   // of the picture
	alone   lapse   // of the redundancy
	// missing is the leg that is not whole, or was the last one that was not.
	missing Role
	// begun reports whether the pair has been redundant, or should have been.
	begun bool
}

// with returns the history with one more entry.
func (h history) with(e Entry) history {
	h.entries = append(slices.Clip(h.entries[max(0, len(h.entries)+1-MaxHistory):]), e)
	return h
}

// withSwitch returns the history after a decision was carried out at now. from is the leg that was
// on air before; none: the pair had no picture yet.
func (h history) withSwitch(d Decision, from Role, gap, now time.Duration) history {
	switch from {
	case d.Active:
		return h
	case "":
		return h.with(Entry{Kind: KindOnAir, At: now, Leg: d.Active, Reason: d.Reason})
	}
	return h.with(Entry{Kind: KindSwitched, At: now, Leg: d.Active, Reason: d.Reason, Gap: gap})
}

// observe returns the history after a look at the legs at now, which were judged as of judged. The
// second value is when waiting alone may add an entry; 0: never.
func (h history) observe(p Policy, legs Legs, s State, judged, now time.Duration) (history, time.Duration) {
	if s.Active == "" {
		return h, 0
	}
	h = h.observeDark(p, legs, s, judged, now)
	h, due := h.observeRedundancy(p, legs, s, judged, now)
	return h, earliest(due, earliest(h.dark.due(), h.alone.due()))
}

func (h history) observeDark(p Policy, legs Legs, s State, judged, now time.Duration) history {
	active := legs.Leg(s.Active)
	onAir := active.Rank(p, judged) > RankNone
	if !onAir && legs.Leg(s.Active.Other()).Rank(p, judged) > RankNone {
		return h // the other leg is about to be put on air: that is a gap
	}
	var found edge
	switch h.dark, found = h.dark.observe(onAir, now); {
	case found.lost:
		h = h.with(Entry{Kind: KindDark, At: now, Leg: s.Active, Reason: active.lossReason(s.Active, p, judged)})
	case found.restored:
		h = h.with(Entry{Kind: KindOnAir, At: found.at, Leg: s.Active, Gap: found.lasted})
	}
	return h
}

// observeRedundancy also returns when a pair that has just started should be redundant; 0: it has
// been, or should have been.
func (h history) observeRedundancy(p Policy, legs Legs, s State, judged, now time.Duration) (history, time.Duration) {
	primary, backup := legs.isWhole(Primary, p, judged), legs.isWhole(Backup, p, judged)
	redundant := primary && backup
	if !h.begun {
		if due := s.FirstPicture + startupWindow; !redundant && now < due {
			return h, due
		}
		h.begun = true
		if redundant {
			return h.with(Entry{Kind: KindRedundant, At: now, Leg: s.Active.Other()}), 0
		}
	}
	if !redundant {
		h.missing = missingLeg(primary, backup, s.Active)
	}
	var found edge
	switch h.alone, found = h.alone.observe(redundant, now); {
	case found.lost:
		h = h.with(Entry{Kind: KindRedundancyLost, At: now, Leg: h.missing, Reason: legs.Leg(h.missing).lossReason(h.missing, p, judged)})
	case found.restored:
		h = h.with(Entry{Kind: KindRedundant, At: found.at, Leg: h.missing})
	}
	return h, 0
}

// missingLeg returns the leg that is not whole, if one of them is not. If neither is, it returns the
// leg that is not on air.
func missingLeg(primary, backup bool, active Role) Role {
	switch {
	case primary:
		return Backup
	case backup:
		return Primary
	}
	return active.Other()
}

// A lapse follows a good state that is lost at times. The loss counts at once. The return counts
// once the state has been good for a while.
type lapse struct {
	lost bool
	// at is when the state was lost. goodSince is since when it has been good again; 0: it is not.
	at, goodSince time.Duration
	// repeats counts the losses before this one that followed each other within dampingWindow.
	repeats int
}

// An edge is what a lapse has found.
type edge struct {
	lost, restored bool
	// at is since when the restored state has been good. lasted is how long it was lost.
	at, lasted time.Duration
}

// observe returns the lapse after a look at now, and what the look has found.
func (l lapse) observe(good bool, now time.Duration) (lapse, edge) {
	switch {
	case !l.lost && !good:
		if l.at == 0 || now-l.at >= dampingWindow+l.hold() {
			l.repeats = 0
		} else {
			l.repeats++
		}
		l.lost, l.at, l.goodSince = true, now, 0
		return l, edge{lost: true}
	case !l.lost:
		return l, edge{}
	case !good:
		l.goodSince = 0
		return l, edge{}
	case l.goodSince == 0:
		l.goodSince = now
	}
	if now < l.due() {
		return l, edge{}
	}
	l.lost = false
	return l, edge{restored: true, at: l.goodSince, lasted: l.goodSince - l.at}
}

// hold returns how long the state must be good.
func (l lapse) hold() time.Duration {
	return min(steadyTime<<min(l.repeats, 16), maxRecovery)
}

// due returns when a lost state that stays good counts as good again; 0: it is not lost, or not
// good.
func (l lapse) due() time.Duration {
	if !l.lost || l.goodSince == 0 {
		return 0
	}
	return l.goodSince + l.hold()
}

// Leave tells the pair that its server is about to end. The history has no more entries then: the
// server's connections end one after the other, which loses legs and makes switches that viewers do
// not see. Viewers go to the other server, which has what happens to the pair.
func (p *Pair) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
}

func (p *Pair) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// record notes in the history what has happened to the legs. It returns when waiting alone may add
// an entry; 0: never.
func (p *Pair) record(legs Legs, judged time.Duration) time.Duration {
	if len(p.legs) < 2 || p.isLeaving() {
		return 0
	}
	history, due := p.history.observe(p.policyInForce(), legs, p.state, judged, p.now())
	p.history = history
	return due
}
