package whip

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// jump is how far a timestamp may run ahead of, or go back behind, the time that
	// really passed before it is taken for the start of another clock.
	jump = time.Second

	// The video track is moved towards the audio track by at most slowly of the time
	// that passes; by quickly while they are further apart than farApart.
	slowly   = 0.05
	quickly  = 0.25
	farApart = 250 * time.Millisecond

	// implausible is a difference between the tracks that no real encoder has:
	// sender reports that say so come from two different clocks.
	implausible = 10 * time.Second
)

// A timeline turns the RTP timestamps of both tracks into times on one clock, for
// which it takes the media clock at the arrival of each track's first packet.
//
// That aligns the tracks as well as the network delivered them. As soon as sender
// reports (RFC 3550 section 6.4.1) tell how the two RTP clocks relate, video is moved
// to where it belongs beside audio, by running a little slow or fast: a jump would be
// seen, and audio moved by a millisecond would be heard.
type timeline struct {
	tracks [2]trackTime // by stream.Kind

	// aligned says that target is valid: the offset at which video is in step.
	aligned bool
	target  time.Duration
}

type trackTime struct {
	rate        int64 // of the RTP clock, in Hz
	started     bool
	replaced    bool          // the next timestamp is of another clock
	last        uint32        // newest RTP timestamp
	ticks       int64         // timestamps since the first one, wraps counted
	offset      time.Duration // the time at 0 ticks
	lastArrival time.Duration

	reported bool
	report   senderReport
}

// A senderReport says that the RTP timestamp was current at the NTP time.
type senderReport struct {
	ntp       uint64 // 32.32 bit seconds since 1900
	timestamp uint32
	ticks     int64 // the timestamp as trackTime counts it
}

func newTimeline() *timeline {
	tl := &timeline{}
	tl.tracks[stream.Video].rate = 90000
	tl.tracks[stream.Audio].rate = 48000
	return tl
}

// at returns the time of a packet with the timestamp.
func (tl *timeline) at(kind stream.Kind, timestamp uint32, arrival time.Duration) time.Duration {
	t := &tl.tracks[kind]
	if !t.started {
		t.started = true
		t.last, t.lastArrival = timestamp, arrival
		t.ticks = 0
		t.offset = arrival
		return arrival
	}
	before := t.time(t.ticks)
	t.ticks += int64(int32(timestamp - t.last))
	step := t.time(t.ticks) - before
	passed := arrival - t.lastArrival
	t.last, t.lastArrival = timestamp, arrival
	switch {
	case t.replaced, step-passed > jump, step < -jump, step < 0 && kind == stream.Audio:
		// Another clock: go on from where this one was.
		t.offset += passed - step
		t.replaced, t.reported, tl.aligned = false, false, false
	case kind == stream.Video && step > 0:
		tl.align(min(step, jump))
	}
	return t.time(t.ticks)
}

// replace says that the next timestamp of a track is of another clock: it comes from another
// encoder.
func (tl *timeline) replace(kind stream.Kind) { tl.tracks[kind].replaced = true }

// lag returns how far a timestamp is behind the time that passed since the last one.
func (tl *timeline) lag(kind stream.Kind, timestamp uint32, now time.Duration) time.Duration {
	t := &tl.tracks[kind]
	if !t.started {
		return 0
	}
	return tl.expected(kind, now) - t.time(t.ticks+int64(int32(timestamp-t.last)))
}

// expected returns the time that a packet would have which is sent now.
func (tl *timeline) expected(kind stream.Kind, now time.Duration) time.Duration {
	t := &tl.tracks[kind]
	if !t.started {
		return now
	}
	return t.time(t.ticks) + now - t.lastArrival
}

// align moves video by its share of the time that passed.
func (tl *timeline) align(passed time.Duration) {
	if !tl.aligned {
		return
	}
	t := &tl.tracks[stream.Video]
	missing := tl.target - t.offset
	share := slowly
	if missing.Abs() > farApart {
		share = quickly
	}
	limit := time.Duration(share * float64(passed))
	t.offset += min(max(missing, -limit), limit)
}

// sent takes a sender report of a track.
func (tl *timeline) sent(kind stream.Kind, ntp uint64, timestamp uint32) {
	t := &tl.tracks[kind]
	if ntp == 0 || !t.started { // 0: the sender has no clock, RFC 3550 section 6.4.1
		return
	}
	t.report = senderReport{ntp: ntp, timestamp: timestamp, ticks: t.ticks + int64(int32(timestamp-t.last))}
	t.reported = true

	audio, video := &tl.tracks[stream.Audio], &tl.tracks[stream.Video]
	if !audio.reported || !video.reported {
		return
	}
	// What audio was at when the report of video was made, video was at too.
	between := ntpDifference(video.report.ntp, audio.report.ntp)
	target := audio.time(audio.report.ticks) + between - (video.time(video.report.ticks) - video.offset)
	switch apart := target - tl.target; {
	case (target - video.offset).Abs() > implausible:
		tl.aligned = false
	case !tl.aligned || apart.Abs() > 100*time.Millisecond:
		tl.aligned, tl.target = true, target
	default:
		// Reports wander by a few milliseconds; follow their mean.
		tl.target += apart / 8
	}
}

// time is the time of an unwrapped timestamp on the common clock.
func (t *trackTime) time(ticks int64) time.Duration {
	return time.Duration(ticks/t.rate)*time.Second + time.Duration(ticks%t.rate)*time.Second/time.Duration(t.rate) + t.offset
}

// ntpDifference is a-b of two NTP times.
func ntpDifference(a, b uint64) time.Duration {
	d := int64(a - b)
	return time.Duration(d>>32)*time.Second + time.Duration((d&0xffffffff)*int64(time.Second)>>32)
}
