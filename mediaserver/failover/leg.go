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

// Other is the other leg; None's other is None.
func (r Role) Other() Role {
	switch r {
	case Primary:
		return Backup
	case Backup:
		return Primary
	}
	return ""
}

// audioGrace is how much longer than video audio may be silent before it counts as
// lost: a gap of sound is no reason to take a good picture away. A leg whose picture is
// lost has none to protect.
const audioGrace = 2 * time.Second

const (
	// assumedInterval stands for a track's frame interval until two access units have
	// told it: one picture a second is ordinary input, and the second one must not
	// come too late.
	assumedInterval = time.Second
	// pictureGrace is how long a publication's audio alone is no reason to put viewers
	// on it: encoders do not begin both tracks at once, and its picture is about to come.
	pictureGrace = time.Second
	// stillPicture is how long pictures may stay away while sound is on time. A browser that
	// shares a still screen sends one a second, whatever it has sent before: a slower rate
	// is no loss. What has not come after two of these intervals is lost.
	stillPicture = 2 * assumedInterval
)

// A Rank says how much of what a leg announced is arriving. Higher is better.
type Rank int

// The ranks, lowest first.
const (
	RankNone             Rank = iota
	RankAudioOnly             // its video is lost
	RankLimitedVideoOnly      // its video arrives, some viewers cannot play it, and its audio is lost
	RankLimitedVideo          // its video arrives, and some viewers cannot play it
	RankVideoOnly             // its audio is lost
	RankFull                  // everything it announced arrives
)

// String returns the name of the rank as status and events show it.
func (r Rank) String() string {
	return [...]string{"None", "AudioOnly", "LimitedVideoOnly", "LimitedVideo", "VideoOnly", "Full"}[r]
}

// A Track is what liveness needs to know of one track.
type Track struct {
	// Announced says that the publication has such a track; one that it never
	// announced is not missing.
	Announced bool
	// LastArrival is on the media clock.
	LastArrival time.Duration
	// Interval is the median time between access units, 0 while unknown.
	Interval time.Duration
	// Unplayable says that no viewer can play the track, whatever arrives: it counts as
	// lost. Limited says that some cannot.
	Unplayable, Limited bool
}

// A Leg is what is known of one leg at a moment.
type Leg struct {
	// Publishing is false once the publisher has disconnected or unpublished.
	Publishing bool
	// Since is when the publication began, on the media clock.
	Since        time.Duration
	Video, Audio Track
	// Decodable says that the publication has sent an IDR: pictures before it arrive
	// but cannot be shown.
	Decodable bool
	// EntryPoint says that an IDR with its parameter sets is at hand.
	EntryPoint bool
	// Leaving says that the server which has the publisher is about to end.
	Leaving bool
	// Burst is the longest gap within the last minute of input that comes in bursts; 0:
	// the input is regular. GapEnd and GapLength are when the last gap ended, on the media
	// clock, and how long it was; 0: there was none.
	Burst, GapEnd, GapLength time.Duration
}

// Legs are both legs of a pair.
type Legs struct{ Primary, Backup Leg }

// Leg returns the leg of that role.
func (l Legs) Leg(r Role) Leg {
	if r == Backup {
		return l.Backup
	}
	return l.Primary
}

// LegOf describes a stream as a leg.
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

// expected reports whether the leg lacks the track while nothing of it can be played. By the
// rules of before, a track that nobody can play was not announced.
func (t Track) expected(p Policy) bool {
	return t.Announced && (!t.Unplayable || p.Rules >= rulesFaults)
}

// playable reports whether viewers can play what arrives of the track.
func (t Track) playable() bool { return t.Announced && !t.Unplayable }

// lostAt is when the track counts as lost if nothing more arrives.
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

// videoLostAt is when the video counts as lost if nothing more arrives. Sound that is on
// time shows that the encoder and the network are well, so that the pictures may be about
// to come more slowly. Sound that falls silent with the picture puts nothing off.
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

// Rank says how much of what the leg announced is arriving at now.
func (l Leg) Rank(p Policy, now time.Duration) Rank {
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

// isIntact reports whether all of the leg arrives that can be played. What its publisher sends
// in a form that nobody can play lowers the rank, and does not change with time.
func (l Leg) isIntact(p Policy, now time.Duration) bool {
	video, audio := l.videoLive(p, now), l.audioLive(p, now)
	return (video || audio) && (video || !l.Video.playable()) && (audio || !l.Audio.playable())
}

// isWhole reports whether the leg of that role is intact, and ranks no lower than the other.
// Two whole legs have the same rank.
func (l Legs) isWhole(r Role, p Policy, now time.Duration) bool {
	leg := l.Leg(r)
	return leg.isIntact(p, now) && leg.Rank(p, now) >= l.Leg(r.Other()).Rank(p, now)
}

// canEnter says whether viewers can be put on the leg: its video has an IDR to begin
// with, or it has no video and audio can begin anywhere.
func (l Leg) canEnter(p Policy, now time.Duration) bool {
	if l.videoLive(p, now) {
		return l.EntryPoint
	}
	return l.audioLive(p, now) && now >= l.Since+pictureGrace
}

// nextChange is the earliest time at which waiting alone changes the leg's rank or
// whether it can be entered; 0 when it does not.
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
	return next
}

// earliest returns the smaller of two times of which 0 means never.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
