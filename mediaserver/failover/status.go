package failover

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A Status is what a pair publishes about itself. It is a value: the slices in it are not changed.
type Status struct {
	// Active is the leg on air; none before the first picture. Active does not change while both
	// legs are lost: OnAir is false then.
	Active         Role
	ActiveStreamID string
	OnAir          bool
	Reason         Reason
	// Since is when the active leg was put on air, on the media clock.
	Since    time.Duration
	Switches int
	// LastSwitch is the latest change from one leg to the other; zero: there was none.
	LastSwitch Switch
	// History has the latest events, oldest first, at most MaxHistory.
	History []Entry
	// SwitchingTo is the leg that a switch is to put on air at its next IDR.
	SwitchingTo Role
	Legs        []LegStatus
}

// A Switch is a change from one leg to the other.
type Switch struct {
	From, To Role
	Reason   Reason
	// At is when the switch was made, on the media clock.
	At time.Duration
}

// LegStatus is the state of one leg.
type LegStatus struct {
	Role     Role
	StreamID string
	// Live reports whether the leg's media arrives. Rank is how much of the media arrives.
	Live bool
	Rank Rank
	// EntryPoint reports whether the leg's cache has an IDR, so that viewers can be put on the leg.
	EntryPoint bool
	// SampleAspect is the width of a pixel over its height, if that is not 1; else 0.
	SampleAspect float64
	Warnings     []stream.Warning
}

func (a Status) equal(b Status) bool {
	if len(a.Legs) != len(b.Legs) {
		return false
	}
	for i := range a.Legs {
		x, y := a.Legs[i], b.Legs[i]
		if x.Live != y.Live || x.Rank != y.Rank || x.EntryPoint != y.EntryPoint || x.SampleAspect != y.SampleAspect || !slices.Equal(x.Warnings, y.Warnings) {
			return false
		}
	}
	return a.Active == b.Active && a.OnAir == b.OnAir && a.Reason == b.Reason && a.Since == b.Since &&
		a.Switches == b.Switches && a.LastSwitch == b.LastSwitch && a.SwitchingTo == b.SwitchingTo &&
		slices.Equal(a.History, b.History)
}

// Status returns the pair's status.
func (p *Pair) Status() Status {
	s, _ := p.Watch()
	return s
}

// Watch returns the pair's status and a channel that is closed when it changes.
func (p *Pair) Watch() (Status, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, p.changed
}

func (p *Pair) describe(legs Legs, snaps []stream.Snapshot) Status {
	s := Status{
		Active: p.state.Active, Reason: p.state.Reason, Since: p.state.Since,
		Switches: p.state.Switches, LastSwitch: p.lastSwitch, SwitchingTo: p.target,
		History: p.history.entries,
	}
	for i, l := range p.legs {
		status := LegStatus{
			Role: l.role, StreamID: l.id, Rank: p.ranks[i], Live: p.ranks[i] > RankNone,
			EntryPoint: legs.Leg(l.role).EntryPoint, Warnings: snaps[i].Warnings,
		}
		if f := snaps[i].Video.Format; f != nil && f.SampleAspect != 1 {
			status.SampleAspect = f.SampleAspect
		}
		s.Legs = append(s.Legs, status)
		if l.role == s.Active {
			s.ActiveStreamID, s.OnAir = l.id, p.ranks[i] > RankNone
		}
	}
	if s.Reason == "" {
		s.Reason = ReasonNoLiveStream
	}
	return s
}

func (p *Pair) publish(s Status) {
	standing := p.state.standing(p.Policy(), p.target, p.settled)
	standing.OnAir = s.OnAir
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.equal(p.status) {
		if standing != p.standing {
			p.standing = standing
			p.notify()
		}
		return
	}
	if s.OnAir != p.status.OnAir {
		p.log.Info("the pair went on or off air", "onAir", s.OnAir, "leg", s.Active)
	}
	p.status, p.standing = s, standing
	p.notify()
	p.showActive(s)
}

// notify announces that the status or a standing changed. p.mu must be held.
func (p *Pair) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
	if p.cfg.OnChange != nil {
		p.cfg.OnChange()
	}
}

// showActive sets the metric of the leg on air.
func (p *Pair) showActive(s Status) {
	for _, l := range s.Legs {
		active := 0.0
		if l.Role == s.Active && s.OnAir {
			active = 1
		}
		p.cfg.Metrics.PairActiveLeg.WithLabelValues(p.cfg.Name, string(l.Role)).Set(active)
	}
}
