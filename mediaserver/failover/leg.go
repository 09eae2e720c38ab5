package failover

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A Role names a leg. The zero value means neither.
type Role string

// The two legs of a pair.
const (
	Primary Role = "Primary"
	Backup  Role = "Backup"
)

// Other returns the other leg. Other of the zero value is the zero value.
func (r Role) Other() Role {
	switch r {
	case Primary:
		return Backup
	case Backup:
		return Primary
	}
	return ""
}

// audioGrace is how much longer than video audio may be silent before it counts as lost: a gap of
// sound is no reason to take a good picture off air. It does not apply to a leg that has lost its
// picture.
const audioGrace = 2 * time.Second

const (
	// assumedInterval is the frame interval that is assumed until two access units have shown the
	// real one. Input of one picture a second is ordinary, and its second picture must not count as
	// late.
	assumedInterval = time.Second
	// pictureGrace is how long a publication with nothing but audio is not put on air. Encoders do
	// not start both tracks at once, so its picture is probably about to come.
	pictureGrace = time.Second
	// missingAfter is how long a publication may lack the picture that the other leg has, before
	// there is a warning. Some encoders start with their sound.
	missingAfter = 5 * time.Second
	// stillPicture is how long pictures may stay away while sound is on time. A browser that shares
	// a still screen sends one picture a second, whatever its rate was before: a slower rate is no
	// loss. A picture that has not come after two of these intervals is lost.
	stillPicture = 2 * assumedInterval
)

// A Rank says how much of what a leg announced is arriving. Higher is better.
type Rank int

// The ranks, lowest first.
const (
	RankNone             Rank = iota
	RankAudioOnly             // its video is lost, or it has none and the other leg has video
	RankBlackOrFrozen         // its picture is black or frozen, and the other leg's is not
	RankLimitedVideoOnly      // its video arrives but some viewers cannot play it, and its audio is lost
	RankLimitedVideo          // its video arrives but some viewers cannot play it
	RankVideoOnly             // its video arrives, and its audio is lost
	RankSilentSound           // everything arrives, but its sound is silent, and the other leg's is not
	RankLowRate               // everything arrives, but its bit rate or picture rate is low, and the other leg's is not
	RankFull                  // everything it announced arrives
)

// String returns the name of the rank in status and events.
func (r Rank) String() string {
	return [...]string{"None", "AudioOnly", "BlackOrFrozen", "LimitedVideoOnly", "LimitedVideo", "VideoOnly", "SilentSound", "LowRate", "Full"}[r]
}

// A Track holds the facts by which a track of a leg is live or lost.
type Track struct {
	// Announced reports whether the publication has such a track. A track that was never announced
	// cannot be lost.
	Announced bool
	// LastArrival is when the track's last access unit came, on the media clock.
	LastArrival time.Duration
	// Interval is the median time between access units; 0: unknown.
	Interval time.Duration
	// Unplayable reports whether no viewer can play the track. Such a track counts as lost,
	// whatever arrives. Limited reports whether some viewers cannot play it.
	Unplayable, Limited bool
	// Missing reports whether the publication lacks this track while the other leg's publication
	// has it: see Legs.withMissingVideo.
	Missing bool
}

// A Leg is what is known of one leg at one moment.
type Leg struct {
	// Publishing reports whether a publisher is connected and has not unpublished.
	Publishing bool
	// Since is when the publication began, on the media clock.
	Since        time.Duration
	Video, Audio Track
	// Decodable reports whether the publication has sent an IDR. Pictures before the first IDR
	// arrive but cannot be shown.
	Decodable bool
	// EntryPoint reports whether the cache has an IDR with its parameter sets.
	EntryPoint bool
	// Content is what is wrong with the content of the media that arrives.
	Content Content
	// Leaving reports whether the server that has the publisher is about to end.
	Leaving bool
	// Burst is the longest gap within the last minute, if the input comes in bursts; 0: the input
	// is regular. GapEnd is when the last gap ended, on the media clock, and GapLength how long
	// that gap was; 0: there was none.
	Burst, GapEnd, GapLength time.Duration
}

// Legs are both legs of a pair.
type Legs struct{ Primary, Backup Leg }

// Leg returns the leg of role r.
func (l Legs) Leg(r Role) Leg {
	if r == Backup {
		return l.Backup
	}
	return l.Primary
}

// LegOf returns the leg that a snapshot of its stream describes.
func LegOf(s stream.Snapshot) Leg {
	track := func(t stream.TrackSnapshot) Track {
		return Track{
			Announced: t.Announced, LastArrival: t.LastArrival, Interval: t.Interval,
			Unplayable: t.Fault != nil && !t.Fault.Limited, Limited: t.Fault != nil && t.Fault.Limited,
		}
	}
	l := Leg{
		Video: track(s.Video), Audio: track(s.Audio),
		Decodable: s.LastIDR != 0 || s.EntryPoint, EntryPoint: s.EntryPoint, Leaving: s.Leaving,
	}
	if s.Publication != nil {
		l.Publishing, l.Since = true, s.Publication.Since
	}
	return l
}

// withMissingVideo returns the legs with Video.Missing set. Where one leg has a picture, a leg with
// nothing but sound is no substitute for it. Where neither leg has a picture, sound is all there is
// to play. A leg without sound is not missing anything: a picture is worth more than sound.
func (l Legs) withMissingVideo() Legs {
	hasVideo := func(l Leg) bool { return l.Publishing && l.Video.Announced }
	primary, backup := hasVideo(l.Primary), hasVideo(l.Backup)
	l.Primary.Video.Missing = l.Primary.Publishing && !primary && backup
	l.Backup.Video.Missing = l.Backup.Publishing && !backup && primary
	return l
}

// expected reports whether the leg ought to have a playable track, so that the leg ranks lower
// without one. By the rules before rulesFaults, a track that nobody can play counts as not
// announced.
func (t Track) expected(p Policy) bool {
	return t.Announced && (!t.Unplayable || p.Rules >= rulesFaults) || t.Missing && p.Rules >= rulesMissing
}

// isMissingVideo reports whether the leg has lacked the other leg's picture for so long that its
// encoder must be set to send none.
func (l Leg) isMissingVideo(p Policy, now time.Duration) bool {
	return l.Video.Missing && l.Video.expected(p) && now >= l.Since+missingAfter
}

// playable reports whether viewers can play the track, if it arrives.
func (t Track) playable() bool { return t.Announced && !t.Unplayable }

// lostAt returns when the track counts as lost if nothing more arrives.
func (t Track) lostAt(p Policy, grace time.Duration) time.Duration {
	interval := t.Interval
	if interval == 0 {
		interval = assumedInterval
	}
	return t.LastArrival + max(p.InputLoss, 3*interval) + grace
}

func (l Leg) videoLive(p Policy, now time.Duration) bool {
	return l.Publishing && l.Video.playable() && l.Decodable && now < l.videoLostAt(p)
}

// videoLostAt returns when the video counts as lost if nothing more arrives. Sound that is on time
// shows that the encoder and the network are well: the pictures may just be about to come more
// slowly. Sound that falls silent together with the picture does not delay the loss.
func (l Leg) videoLostAt(p Policy) time.Duration {
	p = l.tolerant(p)
	lost := l.Video.lostAt(p, 0)
	if p.Rules < rulesStillPicture || !l.Audio.Announced {
		return lost
	}
	onTimeUntil := l.Audio.LastArrival + max(p.InputLoss/2, 3*l.Audio.Interval)
	return max(lost, min(l.Video.LastArrival+stillPicture, onTimeUntil))
}

func (l Leg) audioLive(p Policy, now time.Duration) bool {
	return l.Publishing && l.Audio.playable() && now < l.audioLostAt(p, now)
}

func (l Leg) audioLostAt(p Policy, now time.Duration) time.Duration {
	p = l.tolerant(p)
	if l.Video.expected(p) && !l.videoLive(p, now) {
		return l.Audio.lostAt(p, 0)
	}
	return l.Audio.lostAt(p, audioGrace)
}

// Rank returns how much of what the leg announced is arriving at now, and how good its content is
// if the policy heeds that.
func (l Leg) Rank(p Policy, now time.Duration) Rank {
	media := l.mediaRank(p, now)
	if !p.heedsContent() {
		return media
	}
	return min(media, l.Content.rank())
}

// mediaRank returns how much of what the leg announced is arriving at now, whatever its content is.
func (l Leg) mediaRank(p Policy, now time.Duration) Rank {
	video, audio := l.videoLive(p, now), l.audioLive(p, now)
	lacksSound := l.Audio.expected(p) && !audio
	limited := l.Video.Limited && p.Rules >= rulesFaults
	switch {
	case !video && !audio:
		return RankNone
	case l.Video.expected(p) && !video:
		return RankAudioOnly
	case limited && lacksSound:
		return RankLimitedVideoOnly
	case limited:
		return RankLimitedVideo
	case lacksSound:
		return RankVideoOnly
	}
	return RankFull
}

// isIntact reports whether every playable track of the leg arrives. A track that nobody can play
// lowers the rank, but does not count here: that fault does not change with time.
func (l Leg) isIntact(p Policy, now time.Duration) bool {
	video, audio := l.videoLive(p, now), l.audioLive(p, now)
	return (video || audio) && (video || !l.Video.playable()) && (audio || !l.Audio.playable())
}

// isWhole reports whether the leg of role r is intact and ranks no lower than the other leg. Two
// whole legs have the same rank.
func (l Legs) isWhole(r Role, p Policy, now time.Duration) bool {
	leg := l.Leg(r)
	return leg.isIntact(p, now) && leg.Rank(p, now) >= l.Leg(r.Other()).Rank(p, now)
}

// canEnter reports whether viewers can be put on the leg. A leg with video needs an IDR to begin
// with. A leg without video can be entered anywhere, since sound can begin anywhere.
func (l Leg) canEnter(p Policy, now time.Duration) bool {
	if l.videoLive(p, now) {
		return l.EntryPoint
	}
	return l.audioLive(p, now) && now >= l.Since+pictureGrace
}

// nextChange returns the earliest time at which waiting alone changes something: the leg's rank,
// whether the leg can be entered, or a warning that its picture is missing; 0: nothing changes.
func (l Leg) nextChange(p Policy, now time.Duration) time.Duration {
	var next time.Duration
	if l.videoLive(p, now) {
		next = l.videoLostAt(p)
	}
	if l.audioLive(p, now) {
		next = earliest(next, l.audioLostAt(p, now))
		if now < l.Since+pictureGrace {
			next = earliest(next, l.Since+pictureGrace)
		}
	}
	if warnAt := l.Since + missingAfter; l.Video.Missing && now < warnAt {
		next = earliest(next, warnAt)
	}
	return next
}

// earliest returns the earlier of two times. A time of 0 means never.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
