package transcode

import (
	"log/slog"
	"math"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode/internal/pcm"
)

// frameSamples is one Opus packet of 20 ms.
const frameSamples = pcm.Rate / 50

const (
	// warmUp is how much of the past a new source's decoder is fed before its first
	// audible sample: AAC needs a frame, Opus 80 ms (RFC 7845 section 4.6).
	warmUp = 100 * time.Millisecond
	// longestSilenceSamples is how much silence is made for one gap. After more the track
	// jumps ahead: whoever feeds it has slept, and nobody listened.
	longestSilenceSamples = 10 * pcm.Rate
)

// AudioConfig configures an Audio.
type AudioConfig struct {
	// Emit gets the packets of the track in order. at is the media-clock time of a
	// packet's first sample once decoded. It owns the packet.
	Emit func(at, duration time.Duration, packet []byte)
	// BitrateBPS of the Opus track, in bits per second; default 96000.
	BitrateBPS int
	// Logger; default none.
	Logger *slog.Logger
}

// Audio is one continuous Opus track made of whichever source is on air. It is for use
// by one goroutine.
//
// Its position only moves forward. What a source plays is put where its timestamps say;
// gaps become silence, and what comes too late for the position is left out. Packets
// join without gap or overlap, 20 ms each, whatever the sources' frames.
type Audio struct {
	cfg AudioConfig
	log *slog.Logger

	source  *source
	lastSeq uint64

	// playing is false until the first sample and after Stop.
	playing, stopped bool
	passthrough      bool

	out output
}

// NewAudio returns a track that has not begun.
func NewAudio(cfg AudioConfig) *Audio {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.BitrateBPS == 0 {
		cfg.BitrateBPS = 96000
	}
	return &Audio{cfg: cfg, log: cfg.Logger, out: newOutput(cfg)}
}

// Position is the media-clock time up to which the track is complete: what a source
// plays before it comes too late. It is 0 before the track has begun.
func (a *Audio) Position() time.Duration {
	if !a.playing {
		return 0
	}
	return sampleTime(a.out.next)
}

// Switch says that a new source begins. prime is what is known of its recent past; its
// audio units that lie at or after the track's position are played, the others only
// bring the decoder to speed. Playing resumes after Stop.
func (a *Audio) Switch(prime []*stream.AccessUnit) {
	a.stopped = false
	a.source, a.lastSeq = nil, 0
	var units []*stream.AccessUnit
	for _, u := range prime {
		if u.Kind == stream.Audio {
			units = append(units, u)
		}
	}
	if len(units) == 0 {
		return
	}
	if !a.playing { // at the live edge
		a.begin(sampleIndex(units[len(units)-1].PTS))
	}
	from := a.Position() - warmUp
	for _, u := range units {
		if u.PTS >= from {
			a.Write(u)
		}
	}
}

// Write plays one AAC frame or Opus packet. Units that were written before, by Seq, are
// ignored.
func (a *Audio) Write(u *stream.AccessUnit) {
	if a.stopped || u.Kind != stream.Audio || (u.Seq != 0 && u.Seq <= a.lastSeq) {
		return
	}
	a.lastSeq = u.Seq
	at := sampleIndex(u.PTS)
	if !a.playing {
		a.begin(at)
	}
	if a.passthrough && u.Format.Codec == stream.Opus {
		a.source = nil
		a.out.forward(at, u.Frame)
		return
	}
	if a.source == nil || a.source.format != u.Format {
		a.source = newSource(u.Format)
		if a.source.decoder == nil {
			// Its publisher is warned once. Here it would be once for each change of format.
			a.log.Debug("audio cannot be decoded; playing silence", "codec", u.Format.Codec.String(), "err", a.source.err)
		}
	}
	start, samples := a.source.decode(at, u.Frame)
	if gap := start - a.out.next; gap > 0 && samples.Len() > 0 {
		a.silence(gap)
	}
	a.out.play(start, samples, a.source)
}

// Fill completes the track with silence up to this media-clock time, where the source
// has left a gap or has no audio. What the source plays earlier than that comes too late.
func (a *Audio) Fill(until time.Duration) {
	if a.stopped {
		return
	}
	to := sampleIndex(until)
	if !a.playing {
		a.begin(to)
	}
	if to > a.out.next {
		a.silence(to - a.out.next)
	}
}

// SetPassthrough says whether Opus packets may leave as they came in, which is right
// where all sources of the track are Opus. They keep their durations then, and the
// track is contiguous to within 20 ms where sources or silence meet.
func (a *Audio) SetPassthrough(on bool) {
	a.passthrough = on
	if !on {
		a.out.own()
	}
}

// Stop says that nobody listens: nothing is decoded or encoded until Switch, which
// resumes at the time of what it is given, never before what was already played.
func (a *Audio) Stop() {
	a.stopped, a.playing = true, false
	a.source = nil
	a.out.rest()
}

func (a *Audio) begin(at int64) {
	a.playing = true
	a.out.begin(at)
}

func (a *Audio) silence(n int64) {
	if n > longestSilenceSamples {
		to := a.out.next + n
		a.out.rest()
		a.out.begin(to)
		return
	}
	a.out.silence(n)
}

// sampleIndex is the number of samples of the media clock before t.
func sampleIndex(t time.Duration) int64 {
	return int64(t/time.Second)*pcm.Rate + int64(math.Round(float64(t%time.Second)*pcm.Rate/1e9))
}

// sampleTime is the time of a sample; sampleIndex(sampleTime(i)) == i, and times of
// samples 20 ms apart are exactly 20 ms apart.
func sampleTime(i int64) time.Duration {
	return time.Duration(i/pcm.Rate)*time.Second + time.Duration(i%pcm.Rate)*time.Second/pcm.Rate
}
