package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Measures implements control.Readings.
func (s *Server) Measures() api.Measures {
	m := api.Measures{Time: time.Now().UTC(), Pairs: []api.PairMeasures{}}
	for _, r := range s.pairs.all() {
		if state, ok := s.measuring.state(r.key); ok && r.declared.Load() {
			m.Pairs = append(m.Pairs, s.measuring.pairMeasures(r.name, r.key, state, m.Time))
		}
	}
	slices.SortFunc(m.Pairs, func(a, b api.PairMeasures) int { return cmp.Compare(a.Name, b.Name) })
	return m
}

// Thumbnail implements control.Readings.
func (s *Server) Thumbnail(app, streamID string) (jpeg []byte, made time.Time) {
	t := s.measuring.reports.Thumbnail(stream.Key{App: app, ID: streamID})
	return t.JPEG, t.Time
}

func (m *measuring) pairMeasures(name string, key failover.PairKey, state measure.State, now time.Time) api.PairMeasures {
	p := api.PairMeasures{Name: name, OffsetDoubt: string(state.Step.Doubt)}
	if state.Step.Known {
		p.Offset = &api.Offset{Milliseconds: float64(state.Step.Offset) / float64(time.Millisecond)}
		if state.Step.DriftKnown {
			p.Offset.DriftPPM = &state.Step.DriftPPM
		}
	}
	for _, role := range []failover.Role{failover.Primary, failover.Backup} {
		one := key.Stream(role)
		leg := legMeasures(state.Leg(contentLeg(role)), m.reports.Latest(one), now)
		leg.Role, leg.App, leg.StreamID = string(role), one.App, one.ID
		if t := m.reports.Thumbnail(one); !t.Time.IsZero() {
			made := t.Time.UTC()
			leg.ThumbnailTime, leg.ThumbnailAgeMilliseconds = &made, now.Sub(made).Milliseconds()
		}
		p.Legs = append(p.Legs, leg)
	}
	return p
}

func contentLeg(role failover.Role) content.Leg {
	if role == failover.Backup {
		return content.Backup
	}
	return content.Primary
}

// soundAge and pictureAge are how old the last sound and picture may be of a leg that is measured now.
const soundAge, pictureAge = 3 * time.Second, 15 * time.Second

// legMeasures returns what is measured of a leg.
func legMeasures(state measure.LegState, latest measure.Latest, now time.Time) api.LegMeasures {
	leg := api.LegMeasures{
		Local: latest.Local, SoundMeasured: now.Sub(latest.SoundTime) < soundAge, PictureMeasured: now.Sub(latest.PictureTime) < pictureAge,
		Unwatched: string(latest.Unwatched), Undecoded: latest.Undecoded, FaultsKnown: state.Known,
	}
	for _, f := range content.Faults() {
		if state.Has[f] {
			leg.Faults = append(leg.Faults, f.String())
		}
	}
	if latest.Time.IsZero() {
		return leg
	}
	age := now.Sub(latest.Time).Milliseconds()
	leg.AgeMilliseconds = &age
	if b := latest.Sound; b != nil {
		leg.Sound = &api.SoundLevels{RMSDBFS: b.RMS, PeakDBFS: b.Peak, MomentaryLUFS: b.Momentary, ShortTermLUFS: b.ShortTerm}
	}
	if v := latest.Rates; v != nil {
		leg.Rates = &api.Rates{
			BitrateBPS: v.BitrateBPS, FrameRate: v.FrameRate, UsualFrameRate: v.UsualFrameRate,
			KeyFrameIntervalMilliseconds: v.KeyFrameInterval.Milliseconds(), JitterMilliseconds: v.Jitter.Milliseconds(), Jumps: v.Jumps,
		}
	}
	return leg
}

// The monitor port has few readers: one for each control room that is open.
const (
	monitorConnections = 64
	monitorIdle        = 30 * time.Second
	monitorIdleFull    = time.Second
)

// openMonitor opens the port of the control room. As with openHealth, a media pod opens the port
// by default, and leaves the port out if another process has it.
func (s *Server) openMonitor() error {
	if s.cfg.MonitorAddress == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.cfg.MonitorAddress)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && s.cfg.MonitorAddress == config.DefaultMonitorAddress:
		s.log.Warn("the monitor port is not opened: another process has it", "address", s.cfg.MonitorAddress)
		return nil
	case err != nil:
		return fmt.Errorf("open the monitor port: %w", err)
	}
	s.ports.monitor = admission.NewListener(l, admission.ListenerConfig{Metrics: s.counters, Door: admission.NewDoor(admission.DoorConfig{
		Name: "monitor", Metrics: s.counters, IdleLimit: monitorIdle, IdleLimitFull: monitorIdleFull,
		Limits: admission.Limits{Max: monitorConnections},
	})})
	return nil
}

// monitorHandler serves the monitor port.
func (s *Server) monitorHandler() http.Handler { return loopbackOnly(control.NewReadings(s)) }
