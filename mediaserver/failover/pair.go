package failover

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// subscriptionDepth holds the access units of a leg while the pair's goroutine is
	// busy with a splice: some 5 s of a 60 fps stream with audio.
	subscriptionDepth = 512
	// audioTick is how often silence is filled in where no audio came.
	audioTick = 40 * time.Millisecond
	// audioMargin is how late audio may come, beyond what its leg showed, before
	// silence takes its place.
	audioMargin = 150 * time.Millisecond
	// ownStall is a pause of the pair's goroutine after which silence of a leg says
	// nothing about the leg: the server itself was held up, and what the legs sent
	// meanwhile is still to be read, for which there is stallGrace.
	ownStall   = 250 * time.Millisecond
	stallGrace = 250 * time.Millisecond
	// lateIDR is how long beyond its time an IDR that a switch waits for is waited for.
	lateIDR = 200 * time.Millisecond
)

// A Source is a leg's stream in a form that viewers can play.
type Source interface {
	// Stream is where its access units and state come from.
	Stream() *stream.Stream
	// Demand says whether anybody needs the pictures, or only the state.
	Demand(bool)
}

// Output takes the spliced media. Its methods do not block.
type Output interface {
	// WriteVideo sends a picture whose time on the media clock is at; burst ones may
	// be paced.
	WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool)
	// WriteOpus sends a packet of sound whose time on the media clock is at.
	WriteOpus(at, duration time.Duration, opus []byte)
	// ViewerCount is how many viewers there are; ViewersChanged is signalled when
	// that changes.
	ViewerCount() int
	ViewersChanged() <-chan struct{}
	// BurstDuration is how long it takes to send that many bytes to every viewer beside
	// the live media.
	BurstDuration(bytes int) time.Duration
}

// Audio makes one continuous track of the legs' audio.
type Audio interface {
	Switch(prime []*stream.AccessUnit)
	Write(u *stream.AccessUnit)
	Fill(until time.Duration)
	SetPassthrough(bool)
	Stop()
}

// PairConfig configures a Pair.
type PairConfig struct {
	// Name is the pair's, for logs and metrics; PrimaryID and BackupID are the stream ids.
	Name                string
	PrimaryID, BackupID string
	Policy              Policy
	// Primary and Backup are the legs. Without Backup the pair is a single stream
	// that never switches.
	Primary, Backup Source
	// HasPeer says that another server plays the pair too: see SetPeer.
	HasPeer bool
	Output  Output
	// NewAudio returns the track that emits the sound, from within its methods.
	NewAudio func(emit func(at, duration time.Duration, opus []byte)) Audio
	// OnChange is called when Status changed. It must not block, nor call back.
	// Default: none.
	OnChange func()
	// Recovery keeps a panic to this pair; default: it ends the process.
	Recovery *recovery.Recovery
	// Logger; default none.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Pair plays one of two legs into one output. Run does the work.
type Pair struct {
	cfg  PairConfig
	legs []*leg // primary, then backup if there is one
	log  *slog.Logger
	wake chan struct{} // cap 1: the policy or the peer changed
	done chan struct{} // closed when Run returns

	// Owned by Run's goroutine:
	state      State
	began      time.Duration // when Run was called
	settled    bool          // as of the last decision: see State.settled
	lastSwitch Switch
	ranks      [2]Rank
	intact     [2]bool
	target     Role          // of a switch that waits for an IDR; none otherwise
	giveUp     time.Duration // when an urgent switch stops waiting for an IDR and bursts
	timeline   timeline
	shown      *stream.Publication // whose pictures viewers can go on with; nil: an IDR is due
	lastSent   time.Duration       // when the last picture went out
	audioPub   *stream.Publication
	audioFmt   *stream.Format
	audioLag   time.Duration // how late the active leg's audio comes
	heard      time.Duration // the time of the newest audio on air
	held       holdback
	sound      queue
	audio      Audio
	listened   bool
	// passthrough says that Opus goes through as it is.
	passthrough bool
	lastLoop    time.Duration
	lag         lag
	// handling is whose media is being handled; nil: nobody's.
	handling *stream.Publication
	// heldSince is when the goroutine was last held up; until graceEnd the legs'
	// silence is judged as it was then.
	heldSince, graceEnd time.Duration

	mu       recovery.Mutex // guards all below
	policy   Policy
	peer     *Standing // how the pair stands at its peer; nil: not known
	status   Status
	standing Standing      // what the peer is told
	changed  chan struct{} // closed and replaced when one of the last three changes
	// peerHeard is when the peer last said how the pair stands there.
	peerHeard time.Duration
}

// NewPair returns a Pair; call Run.
func NewPair(cfg PairConfig) *Pair {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pair{
		cfg: cfg, policy: cfg.Policy,
		log:     cfg.Logger.With("pair", cfg.Name),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	p.legs = []*leg{{role: Primary, id: cfg.PrimaryID, source: cfg.Primary}}
	if cfg.Backup != nil {
		p.legs = append(p.legs, &leg{role: Backup, id: cfg.BackupID, source: cfg.Backup})
	}
	p.sound.send = cfg.Output.WriteOpus
	p.audio = cfg.NewAudio(p.sound.add)
	p.status = p.describe(Legs{}, make([]stream.Snapshot, len(p.legs)))
	p.standing = p.state.standing(p.policy, "", false)
	return p
}

// SetPolicy changes how the pair behaves, at once.
func (p *Pair) SetPolicy(policy Policy) {
	p.mu.Lock()
	p.policy = policy
	p.mu.Unlock()
	p.look()
}

// look makes Run decide again.
func (p *Pair) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Policy is the policy in force.
func (p *Pair) Policy() Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// RequestIDR asks the publisher of the leg on air for an IDR and says whether it can be
// asked.
func (p *Pair) RequestIDR() bool {
	l := p.leg(p.Status().Active)
	return l != nil && l.source.Stream().RequestIDR()
}

func (p *Pair) leg(r Role) *leg {
	for _, l := range p.legs {
		if l.role == r {
			return l
		}
	}
	return nil
}

// Done is closed when Run has returned: the status does not change any more.
func (p *Pair) Done() <-chan struct{} { return p.done }

func (p *Pair) now() time.Duration { return p.legs[0].source.Stream().Now() }

// Run plays the pair until ctx ends. It may be called once.
func (p *Pair) Run(ctx context.Context) error {
	defer close(p.done)
	p.showActive(p.Status())
	defer p.forgetMetrics()
	defer p.setDemand(false)
	p.began = p.now()
	for {
		if err := p.play(ctx); !p.mayBeginAnew(err) {
			return err
		}
		p.beginAnew()
	}
}

// play does what Run does, until something panics.
func (p *Pair) play(ctx context.Context) (err error) {
	defer p.cfg.Recovery.Caught("pair", &err)
	for _, l := range p.legs {
		l.sub = l.source.Stream().Subscribe(subscriptionDepth)
		defer l.sub.Close()
	}
	primary, backup := p.legs[0].sub, &stream.Subscription{}
	if len(p.legs) > 1 {
		backup = p.legs[1].sub
	}
	recheck := time.NewTimer(0)
	defer recheck.Stop()
	fill := time.NewTicker(audioTick)
	defer fill.Stop()
	soundDue := time.NewTimer(0)
	defer soundDue.Stop()
	heldDue := time.NewTimer(0)
	defer heldDue.Stop()
	p.lastLoop = p.now()
	for {
		evaluate := true
		p.handling = nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-primary.C:
			evaluate = p.take(p.legs[0], u)
		case u := <-backup.C:
			evaluate = p.take(p.legs[1], u)
		case <-primary.Changed:
		case <-backup.Changed:
		case <-p.wake:
		case <-p.cfg.Output.ViewersChanged():
		case <-recheck.C:
		case <-fill.C:
			p.fillAudio()
			evaluate = false
		case <-soundDue.C:
			evaluate = false
		case <-heldDue.C:
			evaluate = false
		}
		now := p.now()
		if p.notePause(now) || evaluate {
			if d := p.evaluate(now); d > 0 {
				recheck.Reset(d)
			}
		}
		if wait := p.release(); wait > 0 {
			heldDue.Reset(wait)
		}
		if wait := p.sound.release(p.now(), p.steadyDelay()); wait > 0 {
			soundDue.Reset(wait)
		}
	}
}

// evaluate looks at the legs, carries out what Decide says, publishes the status, and
// returns after which time to look again, 0 for not by itself.
func (p *Pair) evaluate(now time.Duration) time.Duration {
	snaps := p.snapshots()
	p.attendViewers(snaps)
	d, legs, judged := p.decide(snaps, now)
	p.follow(d, legs, snaps, judged)
	p.publish(p.describe(legs, snaps))
	next := earliest(d.Recheck, p.giveUp)
	if judged != now {
		next = p.graceEnd
	}
	if next == 0 {
		return 0
	}
	return max(next-p.now(), time.Millisecond)
}

func (p *Pair) snapshots() []stream.Snapshot {
	snaps := make([]stream.Snapshot, len(p.legs))
	for i, l := range p.legs {
		snaps[i] = l.source.Stream().Snapshot()
	}
	return snaps
}

// judgedAt is as of when the legs' silence is judged at now.
func (p *Pair) judgedAt(now time.Duration) time.Duration {
	if now < p.graceEnd {
		return p.heldSince
	}
	return now
}

// decide judges the legs, and returns the time as of which it did: now, unless the
// server was held up.
func (p *Pair) decide(snaps []stream.Snapshot, now time.Duration) (Decision, Legs, time.Duration) {
	now = p.judgedAt(now)
	legs := Legs{Primary: p.legs[0].seen(snaps[0], now)}
	if len(snaps) > 1 {
		legs.Backup = p.legs[1].seen(snaps[1], now)
	}
	accord := p.accord()
	policy := accord.rulesFor(p.Policy())
	for i, l := range p.legs {
		leg := legs.Leg(l.role)
		p.ranks[i], p.intact[i] = leg.Rank(policy, now), leg.isIntact(policy, now)
		p.noteBursts(l, leg.burst(policy))
	}
	p.state = p.state.Observe(policy, legs, now).heeding(accord.Peer).confirmed(accord)
	p.settled = p.state.settled(now)
	d := Decide(policy, legs, p.state, now)
	return Agree(policy, legs, p.state, accord, d, now), legs, now
}

// follow carries d out, now or at the next IDR.
func (p *Pair) follow(d Decision, legs Legs, snaps []stream.Snapshot, now time.Duration) {
	if d.Urgency == "" {
		p.target, p.giveUp = "", 0
		return
	}
	l := p.leg(d.Active)
	if d.Urgency == Planned {
		if p.target != d.Active {
			p.log.Info("switch planned at the next IDR", "leg", d.Active, "reason", d.Reason)
			l.source.Stream().RequestIDR()
		}
		p.target, p.giveUp = d.Active, 0
		return
	}
	snap := snaps[slices.Index(p.legs, l)]
	if legs.Leg(d.Active).videoLive(p.policyInForce(), now) {
		if waiting := p.target == d.Active && p.giveUp != 0; waiting && now < p.giveUp {
			return
		} else if !waiting && !burstIsSooner(p.burstTime(snap), snap.LastIDR, snap.IDRInterval, now) {
			p.target, p.giveUp = d.Active, snap.LastIDR+snap.IDRInterval+lateIDR
			l.source.Stream().RequestIDR()
			return
		}
	}
	p.carryOut(d, l, nil)
}

// attendViewers starts and stops what is done only while somebody watches.
func (p *Pair) attendViewers(snaps []stream.Snapshot) {
	watched := p.cfg.Output.ViewerCount() > 0
	if watched != p.listened {
		p.listened = watched
		p.setDemand(watched)
		if watched && p.state.Active != "" {
			l := p.leg(p.state.Active)
			p.switchAudio(l, l.sent+1, nil)
		} else if !watched {
			p.audio.Stop()
		}
	}
	// Opus goes through as it is where no leg has anything else.
	p.passthrough = true
	for _, s := range snaps {
		if f := s.Audio.Format; f != nil && f.Codec != stream.Opus {
			p.passthrough = false
		}
	}
	p.audio.SetPassthrough(p.passthrough)
}

func (p *Pair) setDemand(on bool) {
	for _, l := range p.legs {
		l.source.Demand(on)
	}
}
