package hls

import (
	"math"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// maxTarget is the greatest TARGETDURATION.
	maxTarget = 10 * time.Second
	// announceGrace is how long a new publication has to announce its second track.
	announceGrace = time.Second
	// lenience is by how much a segment may exceed TARGETDURATION: its duration counts after it was
	// rounded to whole seconds.
	lenience = 250 * time.Millisecond
	// assumedFrame is the time between pictures that is assumed while it is unknown.
	assumedFrame = time.Second / 30
	// slowestFrame bounds the time between pictures for which PART-TARGET is made longer.
	slowestFrame = time.Second
)

// A plan has what a playlist keeps for its life.
type plan struct {
	Video, Sound bool
	// Silence is the format of the sound of a leg that has none.
	Silence *stream.Format
	// Segment is the shortest duration of a segment that an IDR may end.
	Segment time.Duration
	// Target is TARGETDURATION, and PartTarget is PART-TARGET.
	Target, PartTarget time.Duration
}

// hasPictures reports whether players can show the pictures of a track.
func hasPictures(video stream.TrackSnapshot) bool {
	return video.Announced && (video.Fault == nil || video.Fault.Limited)
}

// makePlan decides on the tracks and durations of a playlist that begins with the leg active. legs
// are all legs, as of now on the media clock. ok is false if it is too early to tell.
func makePlan(active stream.Snapshot, legs []stream.Snapshot, settings Settings, now time.Duration) (p plan, ok bool) {
	if active.Publication == nil {
		return p, false
	}
	complete := active.Video.Format != nil && active.Audio.Format != nil
	if !complete && now < active.Publication.Since+announceGrace {
		return p, false
	}
	p.Segment, p.PartTarget = settings.Segment, settings.Part
	longest := settings.Segment
	for _, leg := range legs {
		if leg.Publication == nil {
			continue
		}
		if hasPictures(leg.Video) {
			p.Video = true
			p.PartTarget = max(p.PartTarget, wholeFrames(settings.Part, leg.Video.Interval))
			longest = max(longest, segmentLength(settings.Segment, leg.IDRInterval))
		}
		if cut.Carries(leg.Audio.Format) {
			p.Sound = true
			p.Silence = leg.Audio.Format
		}
	}
	if cut.Carries(active.Audio.Format) {
		p.Silence = active.Audio.Format
	}
	whole := math.Ceil((longest - lenience).Seconds())
	p.Target = min(max(time.Duration(whole)*time.Second, settings.Segment), maxTarget)
	return p, (p.Video || p.Sound) && hasPictures(active.Video) == p.Video
}

// segmentLength returns how long segments become with an IDR each interval; 0: it is unknown.
func segmentLength(segment, interval time.Duration) time.Duration {
	const tolerance = 100 * time.Millisecond // IDRs are timed by their arrival
	if interval <= 0 {
		return 2 * segment
	}
	n := math.Ceil(float64(segment-tolerance) / float64(interval))
	return time.Duration(n) * interval
}

// wholeFrames returns the least number of frames that lasts for at least a part. Parts must not be
// much shorter than PART-TARGET, and they end between two frames.
func wholeFrames(part, frame time.Duration) time.Duration {
	if frame <= 0 {
		frame = assumedFrame
	}
	frame = min(frame, slowestFrame)
	n := (part + frame - 1) / frame
	// RTMP's times are whole milliseconds: of 30 pictures a second, two are mostly 33 ms apart.
	const rounding = 500 * time.Microsecond
	return (n*(frame+rounding) + time.Millisecond).Round(time.Millisecond)
}
