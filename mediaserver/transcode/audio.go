package transcode

import (
	"log/slog"
	"math"
	"time"

	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
)

// frameSamples is the number of samples in one Opus packet of 20 ms.
const frameSamples = pcm.Rate / 50

const (
	// warmUp is how much past sound a new source's decoder gets before its first audible
	// sample. AAC needs a frame, Opus 80 ms (RFC 7845 section 4.6).
	warmUp = 100 * time.Millisecond
	// longestSilenceSamples is how much silence fills one gap. Over a longer gap the track jumps
	// ahead: the feeding goroutine has not run for so long, and nobody listened.
	longestSilenceSamples = 10 * pcm.Rate
)

// AudioConfig configures an Audio.
type AudioConfig struct {
	// Emit gets the packets of the track in order. at is the media-clock time of a
	// packet's first sample once decoded. Emit owns the packet.
	Emit func(at, duration time.Duration, packet []byte)
	// BitrateBPS of the Opus track, in bits per second; default 96000.
	BitrateBPS int
	// Logger; default none.
	Logger *slog.Logger
}

// Audio is one continuous Opus track, made from the source that is on air. It is for one goroutine.
//
// Its position only moves forward. A source's samples are placed by their timestamps. Gaps
// become silence, and samples before the position are left out. Packets have 20 ms each and
// join without gap or overlap, whatever the frames of the sources.
type Audio struct {
	cfg AudioConfig
	log *slog.Logger

	source  *source
	lastSeq uint64

	// playing is false until the first sample, and after Stop.
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

// Position returns the media-clock time up to which the track is complete. What a source
// plays before that comes too late. It is 0 before the track has begun.
func (a *Audio) Position() time.Duration {
	if !a.playing {
		return 0
	}
	return sampleTime(a.out.next)
}

// Switch begins a new source. prime are recent access units of that source. Those at
// or after the track's position are played. Earlier ones only prepare the decoder.
// After Stop, Switch resumes playing.
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

// Write plays one AAC frame or Opus packet. Access units that were written before, by
// Seq, are ignored.
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
			// The publisher is warned once. This line would come once for each change of format.
			a.log.Debug("audio cannot be decoded; playing silence", "codec", u.Format.Codec.String(), "err", a.source.err)
		}
	}
	start, samples := a.source.decode(at, u.Frame)
	if gap := start - a.out.next; gap > 0 && samples.Len() > 0 {
		a.silence(gap)
	}
	a.out.play(start, samples, a.source)
}

// Fill completes the track with silence up to a media-clock time. It is for a source that has a
// gap or no audio. What the source plays before that time comes too late.
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

// SetPassthrough sets whether Opus packets leave unchanged, which is right when all
// sources of the track are Opus. The packets then keep their durations. Where sources
// or silence meet, the track is contiguous to within 20 ms.
func (a *Audio) SetPassthrough(on bool) {
	a.passthrough = on
	if !on {
		a.out.resumeEncoding()
	}
}

// Stop ends playing, because nobody listens. Nothing is decoded or encoded until Switch, which
// resumes at the time of its access units, but never before what was already played.
func (a *Audio) Stop() {
	a.stopped, a.playing = true, false
	a.source = nil
	a.out.finish()
}

func (a *Audio) begin(at int64) {
	a.playing = true
	a.out.begin(at)
}

func (a *Audio) silence(n int64) {
	if n > longestSilenceSamples {
		to := a.out.next + n
		a.out.finish()
		a.out.begin(to)
		return
	}
	a.out.silence(n)
}

// sampleIndex returns the number of samples of the media clock before t.
func sampleIndex(t time.Duration) int64 {
	return int64(t/time.Second)*pcm.Rate + int64(math.Round(float64(t%time.Second)*pcm.Rate/1e9))
}

// sampleTime returns the time of a sample. sampleIndex(sampleTime(i)) is i. Samples 20
// ms apart have times exactly 20 ms apart.
func sampleTime(i int64) time.Duration {
	return time.Duration(i/pcm.Rate)*time.Second + time.Duration(i%pcm.Rate)*time.Second/pcm.Rate
}
