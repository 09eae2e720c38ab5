package measure

import (
	"context"
	"time"

	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/measure/step"
	"github.com/streampair/streampair/mediaserver/recovery"
)

const (
	// judgeEvery is how often both legs are judged.
	judgeEvery = 250 * time.Millisecond
	// estimateEvery is how often the offset between the legs is estimated.
	estimateEvery = 5 * time.Second
)

// ComparisonConfig configures a Comparison.
type ComparisonConfig struct {
	// Legs are the reports of the primary and of the backup. Required.
	Legs [2]<-chan Report
	// Policy says when faults count.
	Policy content.Policy
	// Now is the media clock. Required.
	Now func() time.Duration
	// OnChange is called when the faults or the step have changed. It must not block. Required.
	OnChange func(State)
	// Recovery confines a panic to the Comparison. Default: a panic ends the process.
	Recovery *recovery.Recovery
}

// State is how the legs of a pair compare.
type State struct {
	Primary, Backup LegState
	Step            Step
}

// Leg returns the state of a leg.
func (s State) Leg(l content.Leg) LegState {
	if l == content.Backup {
		return s.Backup
	}
	return s.Primary
}

// LegState is what is known of the content of one leg. It is comparable.
type LegState struct {
	content.Verdict
	// Unwatched says why the leg's picture is not measured; empty: it is, or no key frame has come.
	// Undecoded reports whether it has sound that cannot be measured.
	Unwatched Unwatched
	Undecoded bool
}

// Step is by how much the legs differ in programme time.
type Step struct {
	// Known reports whether the offset is known. Doubt says why it is unknown, or why a known one is
	// not estimated again.
	Known bool
	Doubt step.Doubt
	// Offset is positive if the backup is later.
	Offset time.Duration
	// DriftPPM is by how much Offset grows, if DriftKnown.
	DriftPPM   float64
	DriftKnown bool
}

// A Comparison compares the two legs of a pair.
type Comparison struct {
	cfg       ComparisonConfig
	policies  chan content.Policy
	judge     content.Judge
	estimator *step.Estimator
	legs      [2]measuredLeg
	step      Step
	told      State
}

// measuredLeg is what a Comparison knows of one leg.
type measuredLeg struct {
	publication int64
	unwatched   Unwatched
	undecoded   bool
}

// NewComparison returns a Comparison. Call Run.
func NewComparison(cfg ComparisonConfig) *Comparison {
	return &Comparison{cfg: cfg, policies: make(chan content.Policy, 1)}
}

// SetPolicy sets the policy from now on.
func (c *Comparison) SetPolicy(p content.Policy) {
	select {
	case <-c.policies:
	default:
	}
	c.policies <- p // has room: only SetPolicy sends, and calls do not overlap
}

// Run compares until ctx ends. After a panic it begins anew.
func (c *Comparison) Run(ctx context.Context) {
	for ctx.Err() == nil {
		c.judge, c.estimator, c.legs, c.step = content.Judge{}, step.NewEstimator(), [2]measuredLeg{}, Step{}
		c.judge.SetPolicy(c.cfg.Policy)
		_ = c.cfg.Recovery.Do("compare", func() { c.compare(ctx) })
	}
}

func (c *Comparison) compare(ctx context.Context) {
	judge, estimate := time.NewTicker(judgeEvery), time.NewTicker(estimateEvery)
	defer judge.Stop()
	defer estimate.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-c.policies:
			c.cfg.Policy = p
			c.judge.SetPolicy(p)
		case r := <-c.cfg.Legs[content.Primary]:
			c.take(content.Primary, r)
		case r := <-c.cfg.Legs[content.Backup]:
			c.take(content.Backup, r)
		case <-judge.C:
			c.tell(c.cfg.Now())
		case <-estimate.C:
			c.estimate()
		}
	}
}

// take takes a report of a leg.
func (c *Comparison) take(l content.Leg, r Report) {
	one, now := &c.legs[l], c.cfg.Now()
	if r.Publication != one.publication {
		*one = measuredLeg{publication: r.Publication}
		c.judge.Restart(l)
		c.estimator.Reset(step.Leg(l))
		c.step = Step{}
	}
	c.judge.Hear(l, now)
	one.unwatched, one.undecoded = r.Unwatched, r.Undecoded
	for i := range r.Sound {
		b := &r.Sound[i]
		c.judge.AddSound(l, b.At, b.At+sound.BlockLength, b.Peak)
		c.estimator.Add(step.Leg(l), b.At, b.Print)
	}
	if p := r.Picture; p != nil {
		c.judge.AddPicture(l, p.At, content.Picture{Dark: p.Dark, Uniform: p.Uniform, Difference: p.Difference})
	}
	if v := r.Rates; v != nil {
		c.judge.AddRates(l, v.From, v.To, v.BitrateBPS, v.FrameRate, v.UsualFrameRate)
	}
}

// estimate estimates the offset. A known offset stays while both publications last, even when silence
// hides it.
func (c *Comparison) estimate() {
	e := c.estimator.Estimate()
	if c.step.Doubt = e.Doubt; e.Doubt != step.NoDoubt {
		return
	}
	c.step = Step{Known: true, Offset: e.Offset, DriftPPM: e.DriftPPM, DriftKnown: e.DriftKnown()}
}

// tell passes the state on, if it has changed.
func (c *Comparison) tell(now time.Duration) {
	primary, backup := c.judge.Judge(c.step.Offset, c.step.Known, now)
	s := State{Primary: c.legs[0].state(primary), Backup: c.legs[1].state(backup), Step: c.step}
	if s != c.told {
		c.told = s
		c.cfg.OnChange(s)
	}
}

func (l *measuredLeg) state(v content.Verdict) LegState {
	return LegState{Verdict: v, Unwatched: l.unwatched, Undecoded: l.undecoded}
}
