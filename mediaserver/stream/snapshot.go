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
	// EntryPoint reports whether the cache holds an IDR with its parameter sets, or an IDR is made
	// on demand (see Publication.SetEntryOnDemand).
	EntryPoint bool
	// GOPFrames and GOPBytes count the cached pictures since the last IDR. LastIDR is when that IDR
	// arrived. IDRInterval is the time between the last two IDRs; 0: unknown.
	GOPFrames, GOPBytes  int
	LastIDR, IDRInterval time.Duration
	// RegularIDRs reports whether the last two intervals between IDRs differ by at most a tenth. Only
	// then is the time of the next IDR known.
	RegularIDRs bool
	Warnings    []Warning
	// Leaving reports whether the server that has the publisher is about to end.
	Leaving bool
	// Undeclared reports whether there are StreamPairs and none of them names the stream.
	Undeclared bool
	// Published reports whether somebody publishes or has published. Conflict reports whether a
	// second publisher was refused within the last minute because of the first.
	Published, Conflict bool
}

// PublicationSnapshot describes who publishes.
type PublicationSnapshot struct {
	ID               uint64
	Protocol, Remote string
	// Relayed reports whether the publisher publishes to another server.
	Relayed bool
	// Began is when the publication began at the server that has the publisher; zero: unknown.
	Began time.Time
	// Since is when the publication began here, on the media clock.
	Since time.Duration
	// BitrateBPS is the bit rate over the last seconds.
	BitrateBPS int64
	// TakesIDRRequests reports whether the publisher can be asked for an IDR.
	TakesIDRRequests bool
	// TokenExpires is when the publisher's token stops to admit publishers; zero: never.
	TokenExpires time.Time
}

// tokenExpires returns when the token of the publisher, or of the parent's publisher, expires.
func (p *Publication) tokenExpires() time.Time {
	switch req := p.req; {
	case req.MadeOf != nil:
		return req.MadeOf.tokenExpires()
	case !req.Authenticated: // what was shown was not asked for
		return time.Time{}
	default:
		return req.Credential.Expires
	}
}

// Snapshot returns the state of the stream. A derived stream also has the warnings of its parent,
// and the faults of the parent's tracks that the derived tracks do not mend. It is Leaving when its
// parent is.
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
	snap.Undeclared = s.undeclaredIn != nil
	snap.Published, snap.Conflict = s.seq > 0, s.conflict()
	p := s.current
	if p == nil {
		return snap
	}
	snap.Publication = &PublicationSnapshot{
		p.id, p.req.Protocol, p.req.Remote, p.req.Relayed, p.req.Began, p.since, p.rate.at(s.now()), p.req.RequestIDR != nil,
		p.tokenExpires(),
	}
	snap.Leaving = snap.Leaving || p.leaving
	snap.Video, snap.Audio = p.video.snapshot(), p.audio.snapshot()
	if of := p.req.MadeOf; of != nil && parent.Publication != nil && parent.Publication.ID == of.id {
		if parent.Audio.Fault != nil {
			snap.Audio.Announced, snap.Audio.Fault = true, parent.Audio.Fault // such a track gives no sound
		}
		if f := parent.Video.Fault; f != nil && !f.Limited {
			snap.Video.Announced, snap.Video.Fault = true, f // no picture comes that could be encoded again
		}
	}
	snap.EntryPoint = p.cache.beginsWithIDR() || p.entryOnDemand
	snap.GOPFrames, snap.GOPBytes = len(p.cache.video), p.cache.videoBytes
	snap.LastIDR, snap.IDRInterval, snap.RegularIDRs = p.cache.lastIDR, p.cache.idrInterval, p.cache.regularIDRs
	return snap
}
