package failover

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// leg is one leg as the pair's goroutine sees it.
type leg struct {
	role   Role
	id     string
	source Source
	sub    *stream.Subscription
	// sent is the Seq of the newest access unit that was taken from the leg.
	sent     uint64
	lateness lateness
	// gaps are those of the publication gapsOf; bursty says that they repeat.
	gaps   stream.Gaps
	gapsOf *stream.Publication
	bursty bool
}

// observeGaps takes an access unit of the leg.
func (l *leg) observeGaps(u *stream.AccessUnit) {
	if u.Publication != l.gapsOf {
		l.gapsOf, l.gaps, l.bursty = u.Publication, stream.Gaps{}, false
	}
	l.gaps.Observe(u.DTS-u.Offset, u.Arrival)
}

// seen is the leg of a snapshot, with its gaps as of now. The snapshot may know of access units
// that have yet to be taken: after a pause, they may be late.
func (l *leg) seen(snap stream.Snapshot, now time.Duration) Leg {
	seen := LegOf(snap)
	if snap.Publication == nil || l.gapsOf == nil || snap.Publication.ID != l.gapsOf.ID() {
		return seen
	}
	seen.Burst = l.gaps.Repeated(now)
	seen.GapEnd, seen.GapLength = l.gaps.Last()
	arrival := max(snap.Video.LastArrival, snap.Audio.LastArrival)
	if pause := l.gaps.Unread(arrival); pause > 0 {
		seen.GapEnd, seen.GapLength = arrival, pause
	}
	return seen
}

// warningBursts is the code of the warning of a leg whose input comes in bursts.
const warningBursts = "BurstyInput"

// noteBursts tells when a leg's input begins or ceases to come in bursts; longest is its
// longest gap, 0 for regular input.
func (p *Pair) noteBursts(l *leg, longest time.Duration) {
	bursty := longest > 0
	if bursty == l.bursty {
		return
	}
	l.bursty = bursty
	if !bursty {
		l.source.Stream().Unwarn(warningBursts)
		p.log.Info("the input comes regularly again", "leg", l.role, "stream", l.id)
		return
	}
	l.source.Stream().Warn(warningBursts, fmt.Sprintf("The media come in bursts, with gaps of %v: let the encoder, or what is between it and this server, send each picture as it is made. While the other leg is no better, playing is delayed.",
		longest.Round(100*time.Millisecond)))
	p.log.Warn("the input comes in bursts", "leg", l.role, "stream", l.id, "longestGap", longest.Round(time.Millisecond))
}
