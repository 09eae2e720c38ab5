package whip

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// jump is the difference above which a timestamp is taken for the start of another
	// clock. It is the difference between the step of the timestamps and the time that
	// has passed. A step back by more than jump counts too.
	jump = time.Second

	// The video track is moved towards the audio track by at most slowly of the time that passes.
	// While they are further apart than farApart, it is moved by at most quickly of that time.
	slowly   = 0.05
	quickly  = 0.25
	farApart = 250 * time.Millisecond

	// implausible is a difference between the tracks that no real encoder has. Sender
	// reports with a greater difference come from two different clocks.
	implausible = 10 * time.Second
)

// A timeline turns the RTP timestamps of both tracks into times on one clock. The first
// packet of each track gets the time of the media clock at its arrival.
//
// At first the tracks are aligned only as well as the network delivered them. Sender reports
// (RFC 3550 section 6.4.1) then give the relation of the two RTP clocks. From then on video
// runs a little slow or fast until it is in step with audio. A jump of the picture would be
// seen, and a shift of the sound by a millisecond would be heard.
type timeline struct {
	tracks [2]trackTime // by stream.Kind

	// aligned reports whether target is valid. target is the offset at which video is
	// in step with audio.
	aligned bool
	target  time.Duration
}

type trackTime struct {
	rate        int64 // of the RTP clock, in Hz
	started     bool
	replaced    bool          // the next timestamp is on another clock
	last        uint32        // newest RTP timestamp
	ticks       int64         // timestamps since the first one, unwrapped
	offset      time.Duration // the time at 0 ticks
	lastArrival time.Duration

	reported bool
	report   senderReport
}

// A senderReport gives the RTP timestamp at an NTP time.
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

// at returns the time of a packet with that RTP timestamp.
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
		// The timestamp is on another clock. It goes on from the last time of the old clock.
		t.offset += passed - step
		t.replaced, t.reported, tl.aligned = false, false, false
	case kind == stream.Video && step > 0:
		tl.align(min(step, jump))
	}
	return t.time(t.ticks)
}

// replace announces that the next timestamp of a track is on another clock, because it
// comes from another encoder.
func (tl *timeline) replace(kind stream.Kind) { tl.tracks[kind].replaced = true }

// lag returns how far a timestamp is behind the time that has passed since the last one.
func (tl *timeline) lag(kind stream.Kind, timestamp uint32, now time.Duration) time.Duration {
	t := &tl.tracks[kind]
	if !t.started {
		return 0
	}
	return tl.expected(kind, now) - t.time(t.ticks+int64(int32(timestamp-t.last)))
}

// expected returns the time of a packet that would be sent now.
func (tl *timeline) expected(kind stream.Kind, now time.Duration) time.Duration {
	t := &tl.tracks[kind]
	if !t.started {
		return now
	}
	return t.time(t.ticks) + now - t.lastArrival
}

// align moves video towards its target by a share of the time that has passed.
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

// sent records a sender report of a track.
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
	// target is the offset at which video, at its report, has the time that audio had
	// at the same NTP time.
	between := ntpDifference(video.report.ntp, audio.report.ntp)
	target := audio.time(audio.report.ticks) + between - (video.time(video.report.ticks) - video.offset)
	switch apart := target - tl.target; {
	case (target - video.offset).Abs() > implausible:
		tl.aligned = false
	case !tl.aligned || apart.Abs() > 100*time.Millisecond:
		tl.aligned, tl.target = true, target
	default:
		// Reports vary by a few milliseconds, so target follows their mean.
		tl.target += apart / 8
	}
}

// time returns the time of an unwrapped timestamp on the common clock.
func (t *trackTime) time(ticks int64) time.Duration {
	return time.Duration(ticks/t.rate)*time.Second + time.Duration(ticks%t.rate)*time.Second/time.Duration(t.rate) + t.offset
}

// ntpDifference returns a-b of two NTP times.
func ntpDifference(a, b uint64) time.Duration {
	d := int64(a - b)
	return time.Duration(d>>32)*time.Second + time.Duration((d&0xffffffff)*int64(time.Second)>>32)
}
