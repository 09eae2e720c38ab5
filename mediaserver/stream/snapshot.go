package stream

import (
	"slices"
	"time"
)

// Snapshot is the state of a Stream at one moment.
type Snapshot struct {
	// Publication is nil when nobody publishes.
	Publication  *PublicationSnapshot
	Video, Audio TrackSnapshot
	// EntryPoint says that the cache holds an IDR with its parameter sets.
	EntryPoint bool
	// GOPFrames and GOPBytes are what the cache holds since that IDR, which arrived at
	// LastIDR; IDRInterval is the time between the last two, 0 while unknown.
	GOPFrames, GOPBytes  int
	LastIDR, IDRInterval time.Duration
	Warnings             []Warning
	// Leaving says that the server which has the publisher is about to end.
	Leaving bool
	// Undeclared reports whether StreamPairs are declared, and none of them names the stream.
	Undeclared bool
	// Published says that somebody publishes or did; Conflict, that within the last minute
	// a second publisher was refused because of the first.
	Published, Conflict bool
}

// PublicationSnapshot describes who publishes.
type PublicationSnapshot struct {
	ID               uint64
	Protocol, Remote string
	// Relayed says that the publisher is another server's.
	Relayed bool
	// Began is when it began at the server that has the publisher; zero: not known.
	Began time.Time
	// Since is when it began, on the media clock.
	Since time.Duration
	// BitrateBPS is the bit rate over the last seconds.
	BitrateBPS int64
}

// Snapshot returns the state of the stream. A derived one has the warnings of its parent
// beside its own, and those faults of the parent's tracks that nothing made of them mends. It
// is Leaving when its parent is.
func (s *Stream) Snapshot() Snapshot {
	var snap, parent Snapshot
	if s.parent != nil {
		parent = s.parent.Snapshot()
		snap.Warnings, snap.Leaving = parent.Warnings, parent.Leaving
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	own := slices.Concat(s.warnings, s.standingWarnings())
	if s.current != nil && s.parent == nil {
		own = append(own, s.current.ownWarnings()...)
	}
	for _, w := range own {
		if !slices.ContainsFunc(snap.Warnings, func(has Warning) bool { return has.Code == w.Code }) {
			snap.Warnings = append(snap.Warnings, w)
		}
	}
	snap.Undeclared = s.omittedBy != nil
	snap.Published, snap.Conflict = s.seq > 0, s.conflict()
	p := s.current
	if p == nil {
		return snap
	}
	snap.Publication = &PublicationSnapshot{p.id, p.req.Protocol, p.req.Remote, p.req.Relayed, p.req.Began, p.since, p.rate.at(s.now())}
	snap.Leaving = snap.Leaving || p.leaving
	snap.Video, snap.Audio = p.video.snapshot(), p.audio.snapshot()
	if of := p.req.MadeOf; of != nil && parent.Publication != nil && parent.Publication.ID == of.id {
		if parent.Audio.Fault != nil {
			snap.Audio.Announced, snap.Audio.Fault = true, parent.Audio.Fault // of which no derived stream makes sound
		}
		if f := parent.Video.Fault; f != nil && !f.Limited {
			snap.Video.Announced, snap.Video.Fault = true, f // nothing comes that could be encoded again
		}
	}
	snap.EntryPoint = p.cache.beginsWithIDR() || p.entryOnDemand
	snap.GOPFrames, snap.GOPBytes = len(p.cache.video), p.cache.videoBytes
	snap.LastIDR, snap.IDRInterval = p.cache.lastIDR, p.cache.idrInterval
	return snap
}
