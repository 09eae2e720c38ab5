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
	// sent is the Seq of the newest access unit that the pair has taken from the leg.
	sent     uint64
	lateness lateness
	// gaps has the gaps of the publication gapsOf. bursty reports whether they repeat.
	gaps   stream.Gaps
	gapsOf *stream.Publication
	bursty bool
	// missingVideo is the id of the publication that was warned to send a picture; 0: none.
	missingVideo uint64
}

// observeGaps notes the arrival of an access unit of the leg.
func (l *leg) observeGaps(u *stream.AccessUnit) {
	if u.Publication != l.gapsOf {
		l.gapsOf, l.gaps, l.bursty = u.Publication, stream.Gaps{}, false
	}
	l.gaps.Observe(u.DTS-u.Offset, u.Arrival)
}

// seen returns the leg as the snapshot shows it, with its gaps as of now. The snapshot may count
// access units that the pair has yet to read. After a pause of the input, those end a gap that gaps
// does not know yet.
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

// warningBursts is the code of the warning for a leg whose input comes in bursts.
const warningBursts = "BurstyInput"

// The warning for a leg without video beside a leg with video.
const (
	warningMissingVideo = "MissingVideo"
	missingVideo        = "This encoder sends sound alone, and the pair's other encoder sends a picture: viewers would lose the picture here. " +
		"Let the encoder send video too, or take the video out of the other one."
)

// noteMissingVideo warns when a leg begins to lack the picture that the other leg has. It withdraws
// the warning when the leg no longer lacks the picture.
func (p *Pair) noteMissingVideo(l *leg, snap stream.Snapshot, missing bool) {
	var of uint64
	if missing {
		of = snap.Publication.ID
	}
	if of == l.missingVideo {
		return
	}
	l.missingVideo = of
	if !missing {
		l.source.Stream().Unwarn(warningMissingVideo)
		return
	}
	l.source.Stream().Warn(warningMissingVideo, missingVideo)
	p.log.Warn(missingVideo, "code", warningMissingVideo, "leg", l.role, "stream", l.id)
}

// noteBursts warns when a leg's input begins to come in bursts, and withdraws the warning when the
// input is regular again. longest is the leg's longest gap; 0: the input is regular.
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
