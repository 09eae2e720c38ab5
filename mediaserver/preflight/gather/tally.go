package gather

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/preflight"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// depth is how many access units wait to be measured: a server begins with all since the last
	// key frame, which may be 12 s of 60 fps and sound.
	depth = 2048
	// settle is how long the rates do not count. A server begins with media of before, all at once.
	settle = 3 * time.Second
	// maxSeconds bounds how much media is remembered: more than the longest check takes in real time. A
	// server may send faster.
	maxSeconds = 700
	maxBlocks  = maxSeconds * int(time.Second/sound.BlockLength)
)

// A tally is what was seen of one stream so far. Its times are the encoder's own. It is pure. The zero
// value has seen nothing.
type tally struct {
	begun bool
	ended bool          // whether the stream ended while it was watched
	first time.Duration // when the first access unit came, on the media clock
	// lateness is the least of Arrival-DTS: what leads from the encoder's clock to that of arrival.
	lateness time.Duration

	rates    measure.RateMeter
	measured []measure.Rates // after settle
	jumps    int

	sound  measure.SoundMeter
	blocks []sound.Block
	format [2]*stream.Format // the newest, by stream.Kind
	video  pictures
}

// pictures is what was seen of the pictures.
type pictures struct {
	count             int
	first, last       time.Duration // DTS
	idrs, recoveries  int
	lastIDR, interval time.Duration
	reordered         bool
}

// add takes an access unit.
func (t *tally) add(mapped *stream.AccessUnit) {
	u := *mapped
	u.PTS, u.DTS = u.PTS-u.Offset, u.DTS-u.Offset
	late := u.Arrival - u.DTS
	if !t.begun {
		t.begun, t.first, t.lateness = true, u.Arrival, late
	}
	t.lateness, t.format[u.Kind] = min(t.lateness, late), u.Format
	if r := t.rates.Add(&u); r != nil {
		t.jumps = r.Jumps
		if u.Arrival > t.first+settle && len(t.measured) < maxSeconds {
			t.measured = append(t.measured, *r)
		}
	}
	if u.Kind == stream.Audio {
		if len(t.blocks) < maxBlocks {
			t.blocks = append(t.blocks, t.sound.Add(&u)...)
		}
		return
	}
	t.video.add(&u)
}

func (p *pictures) add(u *stream.AccessUnit) {
	if p.count == 0 {
		p.first, p.lastIDR = u.DTS, u.DTS
	}
	p.count++
	p.last, p.reordered = u.DTS, p.reordered || u.Format.Reordered
	p.interval = max(p.interval, u.DTS-p.lastIDR)
	switch {
	case u.IDR:
		p.idrs++
		p.lastIDR = u.DTS
	case u.RecoveryPoint:
		p.recoveries++
	}
}

// leg returns the facts.
func (t *tally) leg(warnings []stream.Warning) preflight.Leg {
	return preflight.Leg{
		Video: t.videoFacts(), Sound: t.soundFacts(), Rates: t.rateFacts(), Warnings: warnings,
	}
}

func (t *tally) videoFacts() *preflight.Video {
	f, p := t.format[stream.Video], t.video
	if f == nil {
		return nil
	}
	return &preflight.Video{
		Profile: f.Profile(), Limitation: f.Limitation, Reordered: p.reordered, SampleAspect: f.SampleAspect,
		Width: f.Width, Height: f.Height,
		KeyFrames: preflight.KeyFrames{IDRs: p.idrs, RecoveryPoints: p.recoveries, Interval: p.interval},
	}
}

func (t *tally) soundFacts() *preflight.Sound {
	f := t.format[stream.Audio]
	if f == nil {
		return nil
	}
	s := &preflight.Sound{Codec: f.Codec, SampleRate: f.SampleRate, Channels: f.Channels}
	if f.Codec == stream.AAC {
		if config, err := flv.ParseAudioConfig(f.Config); err == nil {
			s.Variant = config.Variant()
		}
	}
	s.Blocks = slices.Clone(t.blocks)
	for i := range s.Blocks {
		s.Blocks[i].At += t.lateness
	}
	return s
}

func (t *tally) rateFacts() preflight.Rates {
	out := preflight.Rates{Jumps: t.jumps}
	if p := t.video; p.count > 1 && p.last > p.first {
		out.FrameRate = float64(p.count-1) / (p.last - p.first).Seconds()
	}
	if len(t.measured) == 0 {
		return out
	}
	var jitters []time.Duration
	slowest := t.measured[0].FrameRate
	for _, r := range t.measured {
		jitters = append(jitters, r.Jitter)
		slowest = min(slowest, r.FrameRate)
	}
	slices.Sort(jitters)
	out.SlowestFrameRate, out.Jitter = slowest, jitters[len(jitters)/2]
	out.BitrateBPS = t.measured[len(t.measured)-1].BitrateBPS
	return out
}
