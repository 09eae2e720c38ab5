package preflight

import (
	"math"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/measure/step"
)

const (
	// unlikeLoudness is by how much loudness may differ, in LU. Viewers notice some 3.
	unlikeLoudness = 4
	// estimateBlocks is how many blocks of both legs lie between two estimates: 5 s.
	estimateBlocks = 100
)

// JudgePair returns how two legs differ, whose sound differs in time by offset. Viewers notice each
// difference at a switch.
func JudgePair(primary, backup Leg, offset step.Estimate) []preflight.Finding {
	f := about("both")
	if primary.Unread != "" || backup.Unread != "" {
		return nil
	}
	if p, b := primary.Video, backup.Video; p != nil && b != nil {
		f.Pictures(p.picture(), b.picture(), [2]float64{primary.Rates.FrameRate, backup.Rates.FrameRate})
	}
	if p, b := primary.Sound, backup.Sound; p != nil && b != nil {
		f.sounds(*p, *b)
		f.Step(stepOf(offset))
	}
	return f.All
}

// StepSummary says in a few words by how much two legs differ in time.
func StepSummary(e step.Estimate) string { return stepOf(e).Summary() }

// stepOf returns what a check of some seconds knows.
func stepOf(e step.Estimate) preflight.Step {
	s := preflight.Step{Doubt: string(e.Doubt), Offset: e.Offset, Short: true}
	if e.DriftKnown() {
		s.DriftPPM = &e.DriftPPM
	}
	return s
}

func (f *findings) sounds(p, b Sound) {
	f.Sounds(p.format(), b.format())
	if len(p.Blocks) < leastBlocks || len(b.Blocks) < leastBlocks {
		return
	}
	pl, bl := levelOf(p), levelOf(b)
	if !pl.Silent && !bl.Silent && math.Abs(pl.Integrated-bl.Integrated) > unlikeLoudness {
		f.Add(preflight.Warning, "LoudnessDiffers", "The primary has %.0f LUFS and the backup %.0f: viewers hear a switch.", pl.Integrated, bl.Integrated)
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
