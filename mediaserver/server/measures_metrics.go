package server

import (
	"math"
	"time"

	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// shownFor is how long the last measures of a stream are shown in metrics.
const shownFor = 3 * time.Second

// metricsOfStreams returns the measures of the streams that are published here, for metrics.
func (m *measuring) metricsOfStreams() []metrics.StreamMeasures {
	m.mu.Lock()
	keys := make([]stream.Key, 0, len(m.watched))
	for key := range m.watched {
		keys = append(keys, key)
	}
	m.mu.Unlock()
	var all []metrics.StreamMeasures
	for _, key := range keys {
		if latest := m.reports.Latest(key); latest.Local && time.Since(latest.Time) < shownFor {
			all = append(all, metricsOf(key, latest, m.registry.Stream(key).Snapshot().Video.Format))
		}
	}
	return all
}

// metricsOf returns the measures of a stream. video is the format of its pictures; nil: there are none.
func metricsOf(key stream.Key, l measure.Latest, video *stream.Format) metrics.StreamMeasures {
	unknown := math.NaN()
	s := metrics.StreamMeasures{
		App: key.App, Stream: key.ID, PeakDBFS: unknown, RMSDBFS: unknown, MomentaryLUFS: unknown, ShortTermLUFS: unknown,
		FrameRate: unknown, UsualFrameRate: unknown, KeyFrameIntervalSeconds: unknown, JitterSeconds: unknown, TimestampJumps: unknown, ClippedSeconds: unknown,
		DarkShare: unknown, Difference: unknown, Watched: l.Picture != nil && l.Unwatched == "",
	}
	if b := l.Sound; b != nil {
		s.PeakDBFS, s.RMSDBFS, s.MomentaryLUFS, s.ShortTermLUFS = b.Peak, b.RMS, b.Momentary, b.ShortTerm
		s.ClippedSeconds = l.Clipped.Seconds()
	}
	if r := l.Rates; r != nil {
		s.FrameRate, s.JitterSeconds, s.TimestampJumps = r.FrameRate, r.Jitter.Seconds(), float64(r.Jumps)
		if r.UsualFrameRate > 0 {
			s.UsualFrameRate = r.UsualFrameRate
		}
		if r.KeyFrameInterval > 0 {
			s.KeyFrameIntervalSeconds = r.KeyFrameInterval.Seconds()
		}
	}
	if p := l.Picture; p != nil {
		s.DarkShare, s.Difference = p.Dark, p.Difference
	}
	if video != nil && video.Codec == stream.H264 {
		s.Profile, s.Limitation, s.BFrames = video.Profile(), video.Limitation, video.Reordered
	}
	return s
}

// metricsOfPairs returns how the legs of each pair compare, for metrics.
func (m *measuring) metricsOfPairs() []metrics.PairMeasures {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []metrics.PairMeasures
	for _, p := range m.pairs {
		one := metrics.PairMeasures{Pair: p.name, StepSeconds: math.NaN(), DriftPPM: math.NaN(), Faults: make(map[metrics.LegFault]bool)}
		if step := p.state.Step; step.Known {
			one.StepSeconds = step.Offset.Seconds()
			if step.DriftKnown {
				one.DriftPPM = step.DriftPPM
			}
		}
		for leg, role := range map[content.Leg]failover.Role{content.Primary: failover.Primary, content.Backup: failover.Backup} {
			verdict := p.state.Leg(leg).Verdict
			if !verdict.Known {
				continue
			}
			for _, f := range content.Faults() {
				one.Faults[metrics.LegFault{Leg: string(role), Fault: f.String()}] = verdict.Has[f]
			}
		}
		all = append(all, one)
	}
	return all
}
