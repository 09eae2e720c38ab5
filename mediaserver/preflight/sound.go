package preflight

import (
	"math"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/measure/sound"
)

const (
	// silence is the level, in dBFS, below which sound counts as silent.
	silence = -60
	// quiet and loud are loudness in LUFS. EBU R 128 has -23, streaming services have -14.
	quiet, loud = -35, -9
	// often is the least share of blocks that makes a fault of clipping, and mostly of a dead channel.
	often, mostly = 0.1, 0.9
	// leastBlocks is how much sound is judged: 3 s.
	leastBlocks = 30
)

// level is what a leg's sound is like as a whole.
type level struct {
	Integrated float64 // in LUFS
	Silent     bool
	// Clipped is the share of blocks with samples at full scale.
	Clipped float64
	// Dead is the channel that is silent while the other one is not, 1 or 2; 0: none is.
	Dead int
}

// levelOf sums up the blocks of a sound.
func levelOf(s Sound) level {
	var l level
	var momentary []float64
	clipped, sounding := 0, 0
	dead := [2]int{}
	for i := range s.Blocks {
		b := &s.Blocks[i]
		momentary = append(momentary, b.Momentary)
		if b.Clipped > 0 {
			clipped++
		}
		if b.Silent(silence) {
			continue
		}
		sounding++
		for c := range dead {
			if b.Dead(silence)&(1<<c) != 0 {
				dead[c]++
			}
		}
	}
	l.Integrated, l.Silent = sound.Integrated(momentary), sounding == 0
	l.Clipped = float64(clipped) / math.Max(1, float64(len(s.Blocks)))
	for c, n := range dead {
		if sounding > 0 && float64(n) >= mostly*float64(sounding) {
			l.Dead = c + 1
		}
	}
	return l
}

func (f *findings) sound(s Sound) {
	switch {
	case s.Variant == "HE-AAC" && s.Channels <= 2:
		f.Add(preflight.Warning, "ReencodedAudio", "The sound is HE-AAC: without ffmpeg on the server viewers hear no high frequencies.")
	case s.Variant != "":
		f.Add(preflight.Error, "ReencodedAudio", "The sound is %s: without ffmpeg on the server viewers hear nothing.", s.Variant)
	default:
		f.SampleRate(s.format())
	}
	if len(s.Blocks) < leastBlocks {
		if s.Variant == "" {
			f.Add(preflight.Warning, "SoundNotMeasured", "Less than 3 s of the sound could be decoded, so its level is unknown.")
		}
		return
	}
	l := levelOf(s)
	switch {
	case l.Silent:
		f.Add(preflight.Error, "SilentSound", "The sound is silent, below %d dBFS.", silence)
		return
	case l.Integrated < quiet:
		f.Add(preflight.Warning, "QuietSound", "The sound is quiet, with %.0f LUFS.", l.Integrated)
	case l.Integrated > loud:
		f.Add(preflight.Warning, "LoudSound", "The sound is loud, with %.0f LUFS.", l.Integrated)
	}
	if l.Clipped >= often {
		f.Add(preflight.Warning, "ClippedSound", "The sound is clipped in %.0f %% of the time.", 100*l.Clipped)
	}
	if l.Dead > 0 {
		f.Add(preflight.Warning, "DeadChannel", "The %s channel is silent, and the other one is not.", [...]string{"left", "right"}[l.Dead-1])
	}
}
