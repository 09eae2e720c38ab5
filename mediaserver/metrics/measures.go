package metrics

import (
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// StreamMeasures are the measures of a stream that is published to this server. NaN is unknown.
type StreamMeasures struct {
	App, Stream                            string
	PeakDBFS, RMSDBFS                      float64
	MomentaryLUFS, ShortTermLUFS           float64
	FrameRate, UsualFrameRate              float64
	KeyFrameIntervalSeconds, JitterSeconds float64
	TimestampJumps                         float64
	ClippedSeconds                         float64
	DarkShare, Difference                  float64
	Watched                                bool
	// Profile is that of H.264, and Limitation what many players cannot show. An empty profile: there is no
	// picture. BFrames reports whether there are B-frames.
	Profile, Limitation string
	BFrames             bool
}

// PairMeasures are how the legs of a pair compare.
type PairMeasures struct {
	Pair string
	// Faults has for each leg and fault whether the leg has it. Empty: the legs are not compared.
	Faults map[LegFault]bool
	// StepSeconds and DriftPPM are NaN if they are unknown.
	StepSeconds, DriftPPM float64
}

// LegFault names a fault of a leg.
type LegFault struct{ Leg, Fault string }

// MeasuresConfig says where measures come from. Both functions are called at each scrape.
type MeasuresConfig struct {
	Streams func() []StreamMeasures
	Pairs   func() []PairMeasures
}

// measures collects what is measured at the moment of a scrape.
type measures struct {
	cfg     MeasuresConfig
	streams []streamGauge
	watched *prometheus.Desc
	video   *prometheus.Desc
	fault   *prometheus.Desc
	step    *prometheus.Desc
	drift   *prometheus.Desc
}

type streamGauge struct {
	desc  *prometheus.Desc
	value func(StreamMeasures) float64
}

// RegisterMeasures registers the metrics of what is measured of the legs.
func RegisterMeasures(reg prometheus.Registerer, cfg MeasuresConfig) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("streampair_"+name, help, labels, nil)
	}
	stream := func(name, help string, value func(StreamMeasures) float64) streamGauge {
		return streamGauge{desc(name, help, "app", "stream"), value}
	}
	reg.MustRegister(&measures{
		cfg: cfg,
		streams: []streamGauge{
			stream("sound_peak_dbfs", "Peak level of the sound in the last 100 ms.", func(s StreamMeasures) float64 { return s.PeakDBFS }),
			stream("sound_rms_dbfs", "RMS level of the sound in the last 100 ms.", func(s StreamMeasures) float64 { return s.RMSDBFS }),
			stream("sound_momentary_lufs", "Momentary loudness (EBU R128): of the last 400 ms.", func(s StreamMeasures) float64 { return s.MomentaryLUFS }),
			stream("sound_short_term_lufs", "Short-term loudness (EBU R128): of the last 3 s.", func(s StreamMeasures) float64 { return s.ShortTermLUFS }),
			stream("sound_clipped_seconds", "Time with samples at full scale since the publication began.", func(s StreamMeasures) float64 { return s.ClippedSeconds }),
			stream("picture_rate", "Pictures in the last second of the encoder's time.", func(s StreamMeasures) float64 { return s.FrameRate }),
			stream("picture_rate_usual", "The median picture rate of the last ten minutes.", func(s StreamMeasures) float64 { return s.UsualFrameRate }),
			stream("picture_dark_share", "Share of dark pixels in the last key frame.", func(s StreamMeasures) float64 { return s.DarkShare }),
			stream("picture_difference", "Mean difference of the last key frame from the one before, as a share of full scale.", func(s StreamMeasures) float64 { return s.Difference }),
			stream("key_frame_interval_seconds", "Time between the last two key frames.", func(s StreamMeasures) float64 { return s.KeyFrameIntervalSeconds }),
			stream("arrival_jitter_seconds", "By how much the media of the last second differ in how late they came.", func(s StreamMeasures) float64 { return s.JitterSeconds }),
			stream("timestamp_jumps", "Jumps of the encoder's clock since the publication began.", func(s StreamMeasures) float64 { return s.TimestampJumps }),
		},
		watched: desc("picture_watched", "1 while the stream's key frames are measured; 0: there is no ffmpeg, no place, or it fails.", "app", "stream"),
		video:   desc("video_info", "1. How the video is coded; limitation is what many players cannot show, such as 10-bit 4:2:2.", "app", "stream", "profile", "limitation", "b_frames"),
		fault:   desc("content_fault", "1 while the leg has a fault of its content that the other leg has not.", "pair", "leg", "fault"),
		step:    desc("step_seconds", "By how much the backup shows the programme later than the primary.", "pair"),
		drift:   desc("step_drift_ppm", "By how much the step grows, in parts per million.", "pair"),
	})
}

// Describe implements prometheus.Collector.
func (m *measures) Describe(all chan<- *prometheus.Desc) {
	for _, g := range m.streams {
		all <- g.desc
	}
	for _, d := range []*prometheus.Desc{m.watched, m.video, m.fault, m.step, m.drift} {
		all <- d
	}
}

// Collect implements prometheus.Collector.
func (m *measures) Collect(all chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		if !math.IsNaN(value) {
			all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
		}
	}
	number := map[bool]float64{true: 1}
	for _, s := range m.cfg.Streams() {
		for _, g := range m.streams {
			send(g.desc, g.value(s), s.App, s.Stream)
		}
		send(m.watched, number[s.Watched], s.App, s.Stream)
		if s.Profile != "" {
			send(m.video, 1, s.App, s.Stream, s.Profile, s.Limitation, strconv.FormatBool(s.BFrames))
		}
	}
	for _, p := range m.cfg.Pairs() {
		for of, has := range p.Faults {
			send(m.fault, number[has], p.Pair, of.Leg, of.Fault)
		}
		send(m.step, p.StepSeconds, p.Pair)
		send(m.drift, p.DriftPPM, p.Pair)
	}
}
