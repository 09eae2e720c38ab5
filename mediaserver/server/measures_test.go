package server

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/measure"
)

// Each change of the step that is told is a write to the Kubernetes API.
func TestADriftingStepIsToldSeldom(t *testing.T) {
	for name, tt := range map[string]struct {
		step func(at time.Duration) measure.Step
		most int           // changes in an hour
		off  time.Duration // by how much what is told may be wrong
	}{
		"it stays": {func(time.Duration) measure.Step { return measure.Step{Known: true, Offset: 430 * ms} }, 1, 50 * ms},
		"it trembles about a limit": {func(at time.Duration) measure.Step {
			return measure.Step{Known: true, Offset: 450*ms + time.Duration(40*math.Sin(at.Seconds()))*ms}
		}, 1, 100 * ms},
		"it drifts by 100 ppm": {func(at time.Duration) measure.Step { return measure.Step{Known: true, Offset: at / 10_000} }, 5, 110 * ms},
		"it runs away":         {func(at time.Duration) measure.Step { return measure.Step{Known: true, Offset: at / 10} }, 60, 7 * time.Second},
		"it is unknown":        {func(time.Duration) measure.Step { return measure.Step{Doubt: "Flat"} }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var told toldStep
			changes := 0
			for at := time.Duration(0); at < time.Hour; at += 5 * time.Second {
				before := told.Step
				if told = told.after(tt.step(at), time.Minute+at); told.Step != before {
					changes++
				}
				if s := tt.step(at); told.Known != s.Known {
					t.Fatalf("at %v known is told as %v", at, told.Known)
				}
			}
			if changes > tt.most {
				t.Errorf("%d changes in an hour, want at most %d", changes, tt.most)
			}
			if last := tt.step(time.Hour); last.Known {
				if off := (time.Duration(told.OffsetMilliseconds)*ms - last.Offset).Abs(); off > tt.off {
					t.Errorf("told is %d ms, and the step is %v", told.OffsetMilliseconds, last.Offset)
				}
			}
		})
	}
}

// The faults have one spelling, here and in the API.
func TestFaultsHaveOneSpelling(t *testing.T) {
	var own []string
	for _, f := range content.Faults() {
		own = append(own, f.String())
	}
	inAPI := []string{control.FaultBlack, control.FaultFrozen, control.FaultSilent, control.FaultLowBitrate, control.FaultLowFrameRate}
	if diff := cmp.Diff(inAPI, own); diff != "" {
		t.Errorf("(-API +here):\n%s", diff)
	}
	reasons := []measure.Unwatched{control.NotWatchedNoFFmpeg, control.NotWatchedFull, control.NotWatchedFailed, control.NotWatchedNoMemory}
	if diff := cmp.Diff(reasons, []measure.Unwatched{measure.UnwatchedNoFFmpeg, measure.UnwatchedFull, measure.UnwatchedFailed, measure.UnwatchedNoMemory}); diff != "" {
		t.Errorf("(-API +here):\n%s", diff)
	}
}
