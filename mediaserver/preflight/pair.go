package preflight

import (
	"fmt"
	"math"
	"time"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/measure/step"
)

const (
	// outOfStep is the offset at which the condition InStep is False.
	outOfStep = time.Second
	// highDrift is 0.36 s in an hour, in millionths.
	highDrift = 100
	// secondsAnHour leads from millionths to seconds in an hour.
	secondsAnHour = 3600 / 1e6
	// surelyDrift is the least confidence in a drift.
	surelyDrift = 0.5
	// unlikeRates is by what share two picture rates may differ.
	unlikeRates = 0.05
	// unlikeLoudness is by how much loudness may differ, in LU. Viewers notice some 3.
	unlikeLoudness = 4
	// estimateBlocks is how many blocks of both legs lie between two estimates: 5 s.
	estimateBlocks = 100
)

// JudgePair returns how two legs differ, whose sound differs in time by offset. Viewers notice each
// difference at a switch.
func JudgePair(primary, backup Leg, offset step.Estimate) []preflight.Finding {
	f := &findings{subject: "both"}
	if primary.Unread != "" || backup.Unread != "" {
		return nil
	}
	if p, b := primary.Video, backup.Video; p != nil && b != nil {
		if p.Width != b.Width || p.Height != b.Height {
			f.add(preflight.Warning, "SizeDiffers", "The primary has %dx%d pixels and the backup %dx%d: a switch shows.", p.Width, p.Height, b.Width, b.Height)
		}
		pr, br := primary.Rates.FrameRate, backup.Rates.FrameRate
		if pr > 0 && br > 0 && math.Abs(pr-br) > unlikeRates*math.Max(pr, br) {
			f.add(preflight.Warning, "RateDiffers", "The primary has %.3g pictures a second and the backup %.3g: a switch shows.", pr, br)
		}
	}
	if p, b := primary.Sound, backup.Sound; p != nil && b != nil {
		f.sounds(*p, *b)
		f.step(offset)
	}
	return f.all
}

// StepSummary says in a few words by how much two legs differ in time.
func StepSummary(e step.Estimate) string {
	if e.Doubt != step.NoDoubt {
		return fmt.Sprintf("offset unknown (%s)", e.Doubt)
	}
	drift := "drift unknown"
	if e.DriftConfidence >= surelyDrift {
		drift = fmt.Sprintf("drift %.1f s an hour", e.DriftPPM*secondsAnHour)
	}
	return fmt.Sprintf("the backup is %.1f s later, %s", e.Offset.Seconds(), drift)
}

func (f *findings) sounds(p, b Sound) {
	switch {
	case p.Codec != b.Codec:
		f.add(preflight.Warning, "MixedSound", "The primary's sound is %s and the backup's %s: some HLS players stop at a switch.", p.Codec, b.Codec)
	case p.Channels != b.Channels:
		f.add(preflight.Info, "ChannelsDiffer", "The primary's sound is %s and the backup's %s.", channels(p.Channels), channels(b.Channels))
	}
	if len(p.Blocks) < leastBlocks || len(b.Blocks) < leastBlocks {
		return
	}
	pl, bl := levelOf(p), levelOf(b)
	if !pl.Silent && !bl.Silent && math.Abs(pl.Integrated-bl.Integrated) > unlikeLoudness {
		f.add(preflight.Warning, "LoudnessDiffers", "The primary has %.0f LUFS and the backup %.0f: viewers hear a switch.", pl.Integrated, bl.Integrated)
	}
}

func (f *findings) step(e step.Estimate) {
	switch e.Doubt {
	case step.TooLittle, step.Flat: // silence and gaps have findings of their own
		return
	case step.Different:
		f.add(preflight.Warning, "DifferentSound", "The legs have different sound, or are far apart: a longer check would tell.")
		return
	case step.Ambiguous:
		f.add(preflight.Info, "StepUnknown", "The sound does not show by how much the legs differ: it repeats itself.")
		return
	}
	late := "backup"
	if e.Offset < 0 {
		late = "primary"
	}
	if e.Offset.Abs() >= outOfStep {
		f.add(preflight.Warning, "OutOfStep", "The %s is %s behind: a switch repeats or leaves out that much.", late, seconds(e.Offset.Abs()))
	}
	if e.DriftConfidence >= surelyDrift && math.Abs(e.DriftPPM) > highDrift {
		f.add(preflight.Warning, "Drift", "The legs drift apart by %.1f s an hour.", math.Abs(e.DriftPPM)*secondsAnHour)
	}
}

// EstimateStep compares the sound of two legs. It estimates each 5 s, since the drift is told by
// several estimates.
func EstimateStep(primary, backup Leg) step.Estimate {
	p, b := primary.Sound, backup.Sound
	if p == nil || b == nil {
		return step.Estimate{Doubt: step.TooLittle}
	}
	e := step.NewEstimator()
	added := 0
	for i, j := 0, 0; i < len(p.Blocks) || j < len(b.Blocks); {
		if j == len(b.Blocks) || i < len(p.Blocks) && p.Blocks[i].At <= b.Blocks[j].At {
			e.Add(step.Primary, p.Blocks[i].At, p.Blocks[i].Print)
			i++
		} else {
			e.Add(step.Backup, b.Blocks[j].At, b.Blocks[j].Print)
			j++
		}
		if added++; added%estimateBlocks == 0 {
			e.Estimate()
		}
	}
	return e.Estimate()
}
