package whip

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/stream"
)

// ntpAt returns the NTP time at d after a fixed moment.
func ntpAt(d time.Duration) uint64 {
	const epoch = 3_900_000_000
	return (epoch+uint64(d/time.Second))<<32 | uint64(d%time.Second)<<32/uint64(time.Second)
}

func ticks(d time.Duration, rate int64) uint32 { return uint32(int64(d) * rate / int64(time.Second)) }

// A programme is what a publisher sends. Both tracks are captured at the same time. Each
// has its own delay on the way and a random first RTP timestamp.
type programme struct {
	tl                     *timeline
	videoOrigin            uint32
	audioOrigin            uint32
	videoDelay, audioDelay time.Duration
}

func (p *programme) video(captured time.Duration) time.Duration {
	return p.tl.at(stream.Video, p.videoOrigin+ticks(captured, 90000), captured+p.videoDelay)
}

func (p *programme) audio(captured time.Duration) time.Duration {
	return p.tl.at(stream.Audio, p.audioOrigin+ticks(captured, 48000), captured+p.audioDelay)
}

func (p *programme) reports(at time.Duration) {
	p.tl.sent(stream.Video, ntpAt(at), p.videoOrigin+ticks(at, 90000))
	p.tl.sent(stream.Audio, ntpAt(at), p.audioOrigin+ticks(at, 48000))
}

func near(t *testing.T, what string, got, want, tolerance time.Duration) {
	t.Helper()
	if (got - want).Abs() > tolerance {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, tolerance)
	}
}

func TestTracksAreAlignedByArrivalAndThenBySenderReports(t *testing.T) {
	for _, videoDelay := range []time.Duration{0, 40 * ms, 200 * ms, 900 * ms} {
		p := &programme{tl: newTimeline(), videoOrigin: 4294900000, audioOrigin: 77, videoDelay: videoDelay + 10*ms, audioDelay: 10 * ms}
		lastVideo, lastAudio := time.Duration(-1), time.Duration(-1)
		for at := time.Duration(0); at < 60*time.Second; at += 20 * ms {
			audio := p.audio(at)
			video := p.video(at)
			if audio <= lastAudio || video <= lastVideo {
				t.Fatalf("back in time at %v: %v after %v, %v after %v", at, audio, lastAudio, video, lastVideo)
			}
			lastAudio, lastVideo = audio, video
			skew := video - audio
			if at < time.Second {
				near(t, "skew before reports", skew, videoDelay, ms)
			}
			if at >= time.Second && at%time.Second == 0 {
				p.reports(at)
			}
			if at > 20*time.Second {
				near(t, "skew after reports", skew, 0, ms)
			}
			near(t, "audio", audio, at+10*ms, 100*time.Microsecond)
		}
	}
}

func TestTimestampWrapIsNoJump(t *testing.T) {
	p := &programme{tl: newTimeline(), videoOrigin: 1<<32 - 90000, audioOrigin: 1<<32 - 48000}
	for at := time.Duration(0); at < 3*time.Second; at += 20 * ms {
		near(t, "video", p.video(at), at, 100*time.Microsecond)
		near(t, "audio", p.audio(at), at, 100*time.Microsecond)
	}
}

func TestTimestampJumpGoesOnWhereItWas(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second} {
		p := &programme{tl: newTimeline(), videoOrigin: 1 << 31, audioOrigin: 1 << 31}
		for at := time.Duration(0); at < 4*time.Second; at += 20 * ms {
			if at == 2*time.Second {
				p.videoOrigin += uint32(int64(by/time.Second) * 90000)
			}
			near(t, "video", p.video(at), at, 100*time.Microsecond)
			near(t, "audio", p.audio(at), at, 100*time.Microsecond)
		}
	}
}

func TestPauseOfTheSenderIsTimeThatPassed(t *testing.T) {
	p := &programme{tl: newTimeline()}
	p.video(0)
	near(t, "after a pause", p.video(time.Minute), time.Minute, ms)
}

func TestReportsOfUnrelatedClocksAreIgnored(t *testing.T) {
	p := &programme{tl: newTimeline()}
	for at := time.Duration(0); at < 10*time.Second; at += 20 * ms {
		video, audio := p.video(at), p.audio(at)
		near(t, "skew", video-audio, 0, ms)
		if at%time.Second == 0 {
			p.tl.sent(stream.Video, ntpAt(at), p.videoOrigin+ticks(at, 90000))
			p.tl.sent(stream.Audio, ntpAt(at+time.Hour), p.audioOrigin+ticks(at, 48000))
			p.tl.sent(stream.Audio, 0, 5)
		}
	}
}

// Reports vary, but timestamps do not go back and the tracks stay in step.
func TestNoisyReportsKeepTracksInStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &programme{
			tl: newTimeline(), videoOrigin: rapid.Uint32().Draw(t, "video"), audioOrigin: rapid.Uint32().Draw(t, "audio"),
			videoDelay: time.Duration(rapid.IntRange(0, 300).Draw(t, "delay")) * ms,
		}
		last := time.Duration(-1)
		for at := time.Duration(0); at < 30*time.Second; at += 20 * ms {
			audio, video := p.audio(at), p.video(at)
			if video <= last {
				t.Fatalf("back in time at %v", at)
			}
			last = video
			if at%time.Second == 0 {
				noise := time.Duration(rapid.IntRange(-10, 10).Draw(t, "noise")) * ms
				p.tl.sent(stream.Video, ntpAt(at+noise), p.videoOrigin+ticks(at, 90000))
				p.tl.sent(stream.Audio, ntpAt(at), p.audioOrigin+ticks(at, 48000))
			}
			if skew := (video - audio).Abs(); at > 20*time.Second && skew > 12*ms {
				t.Fatalf("skew %v at %v", skew, at)
			}
		}
	})
}
