package server

import (
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
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

// What was not measured is left out.
func TestMetricsOfWhatWasMeasured(t *testing.T) {
	high := &stream.Format{Codec: stream.H264, SPS: []byte{0x67, 122}, Limitation: "10-bit 4:2:2", Reordered: true}
	reports := measure.NewReports()
	key := stream.Key{App: "live", ID: "primary"}
	_, stop := reports.Follow(key, true)
	defer stop()
	for range 2 {
		reports.Measured(key, measure.Report{Publication: 1, Sound: []measure.SoundBlock{{Clipped: 3}, {}, {Clipped: 1, Peak: -1}}}, time.Now())
	}
	for name, tt := range map[string]struct {
		latest measure.Latest
		video  *stream.Format
		want   []string
	}{
		"sound and picture": {reports.Latest(key), high, []string{
			`streampair_sound_clipped_seconds{app="live",stream="primary"} 0.4`, `streampair_sound_peak_dbfs{app="live",stream="primary"} -1`,
			`streampair_video_info{app="live",b_frames="true",limitation="10-bit 4:2:2",profile="High 4:2:2",stream="primary"} 1`,
		}},
		"nothing": {measure.Latest{}, nil, nil},
	} {
		registry := prometheus.NewRegistry()
		metrics.RegisterMeasures(registry, metrics.MeasuresConfig{
			Streams: func() []metrics.StreamMeasures { return []metrics.StreamMeasures{metricsOf(key, tt.latest, tt.video)} },
			Pairs:   func() []metrics.PairMeasures { return nil },
		})
		scraped := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/", nil))
		var got []string
		for line := range strings.Lines(scraped.Body.String()) {
			for _, name := range []string{"clipped", "peak", "video_info"} {
				if !strings.HasPrefix(line, "#") && strings.Contains(line, name) {
					got = append(got, strings.TrimSpace(line))
				}
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
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
