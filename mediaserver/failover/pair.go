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
	// subscriptionDepth is how many access units of a leg are queued while the pair's goroutine is
	// busy with a splice: some 5 s of a 60 fps stream with audio.
	subscriptionDepth = 512
	// lateIDR is how long an urgent switch waits for an IDR that is overdue.
	lateIDR = 200 * time.Millisecond
)

// A Source is a leg's stream in a form that viewers can play.
type Source interface {
	// Stream is the source of the leg's access units and state.
	Stream() *stream.Stream
	// Demand tells the source whether anybody needs the pictures, or only the state.
	Demand(bool)
}

// Output takes the spliced media. Its methods do not block.
type Output interface {
	// WriteVideo sends a picture. Its time on the media clock is at. Pictures with burst set may be
	// paced.
	WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool)
	// WriteOpus sends a packet of sound. Its time on the media clock is at.
	WriteOpus(at, duration time.Duration, opus []byte)
	// ViewerCount is the number of viewers. ViewersChanged receives a value when the number
	// changes.
	ViewerCount() int
	ViewersChanged() <-chan struct{}
	// BurstDuration estimates how long it takes to send so many bytes to every viewer, in addition
	// to the live media.
	BurstDuration(bytes int) time.Duration
}

// Audio joins the audio of the legs into one continuous track.
type Audio interface {
	Switch(prime []*stream.AccessUnit)
	Write(u *stream.AccessUnit)
	Fill(until time.Duration)
	SetPassthrough(bool)
	Stop()
}

// PairConfig configures a Pair.
type PairConfig struct {
	// Name is the pair's name, for logs and metrics. PrimaryID and BackupID are the stream ids.
	Name                string
	PrimaryID, BackupID string
	Policy              Policy
	// Primary and Backup are the legs. A pair without Backup plays a single stream and never
	// switches.
	Primary, Backup Source
	// HasPeer reports whether another server plays the pair too: see SetPeer.
	HasPeer bool
	Output  Output
	// NewAudio returns the audio track of the output. Its methods call emit with the sound.
	NewAudio func(emit func(at, duration time.Duration, opus []byte)) Audio
	// OnChange is called when Status has changed. OnChange must not block, and must not call the
	// pair. Default: nothing is called.
	OnChange func()
	// Recovery confines a panic to this pair. Default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// HeldUp logs that pairs were held up, for all pairs of the process. Default: no such log.
	HeldUp *HeldUpLog
	// Metrics is required.
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
	history    history
	ranks      [2]Rank
	intact     [2]bool
	target     Role          // the leg that a switch waits to put on air at its next IDR; none otherwise
	giveUp     time.Duration // when an urgent switch stops waiting for an IDR and sends the cached pictures
	timeline   timeline
	entered    *stream.Publication // the publication whose next pictures viewers can decode; nil: an IDR is needed first
	lastSent   time.Duration       // when the last picture went out
	sound      soundtrack
	delayed    delayBuffer
	hasViewers bool
	stall      stallGuard
	// handling is the publication whose media is being handled; nil: none.
	handling *stream.Publication

	mu       recovery.Mutex // guards all below
	policy   Policy
	peer     *Standing  // how the pair stands at its peer; nil: unknown
	content  [2]Content // of the primary and of the backup
	status   Status
	standing Standing      // the Standing that the peer is told
	changed  chan struct{} // closed and replaced when peer, status or standing changes
	// peerHeard is when the peer last told how the pair stands there.
	peerHeard time.Duration
	// leaving reports whether the server is about to end.
	leaving bool
}

// NewPair returns a Pair. Call Run to play it.
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
	p.sound.restart(cfg)
	p.status = p.describe(Legs{}, make([]stream.Snapshot, len(p.legs)))
	p.standing = p.state.standing(p.policy, "", false)
	return p
}

// SetPolicy replaces the policy. The pair decides by the new policy at once.
func (p *Pair) SetPolicy(policy Policy) {
	p.mu.Lock()
	p.policy = policy
	p.mu.Unlock()
	p.wakeUp()
}

// wakeUp makes Run decide again.
func (p *Pair) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Policy returns the policy in force.
func (p *Pair) Policy() Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// RequestIDR asks the publisher of the active leg for an IDR. It reports whether that publisher can
// be asked.
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

// Done returns a channel that is closed when Run has returned. The status does not change after
// that.
func (p *Pair) Done() <-chan struct{} { return p.done }

func (p *Pair) now() time.Duration { return p.legs[0].source.Stream().Now() }

// Run plays the pair until ctx ends. It may be called once.
func (p *Pair) Run(ctx context.Context) error {
	defer close(p.done)
	p.showActive(p.Status())
	defer p.cfg.Metrics.ForgetPair(p.cfg.Name)
	defer p.setDemand(false)
	p.began = p.now()
	for {
		if err := p.play(ctx); !p.mayRestart(err) {
			return err
		}
		p.restart()
	}
}

// play plays the pair until ctx ends or something panics.
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
	p.stall.lastRun = p.now()
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
			if p.hasViewers && p.state.Active != "" {
				p.sound.fill(p.now())
			}
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
		if wait := p.sound.queue.release(p.now(), p.sound.delay(p.legs)); wait > 0 {
			soundDue.Reset(wait)
		}
	}
}

// evaluate looks at the legs, carries out the decision and publishes the status. It returns the
// time until the next evaluation that is due without an event; 0: none is due.
func (p *Pair) evaluate(now time.Duration) time.Duration {
	snaps := p.snapshots()
	p.followDemand(snaps)
	d, legs, judged := p.decide(snaps, now)
	p.follow(d, legs, snaps, judged)
	recordDue := p.record(legs, judged)
	p.publish(p.describe(legs, snaps))
	next := earliest(earliest(d.Recheck, p.giveUp), recordDue)
	if judged != now {
		next = p.stall.graceEnd
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

// decide judges the legs. It returns the decision, the legs, and the time as of which they were
// judged: now, unless the server was held up.
func (p *Pair) decide(snaps []stream.Snapshot, now time.Duration) (Decision, Legs, time.Duration) {
	now = p.stall.judgedAt(now)
	legs := Legs{Primary: p.legs[0].seen(snaps[0], now)}
	if len(snaps) > 1 {
		legs.Backup = p.legs[1].seen(snaps[1], now)
	}
	legs = p.withContent(legs.withMissingVideo())
	peer := p.peerView()
	policy := peer.rulesFor(p.Policy())
	for i, l := range p.legs {
		leg := legs.Leg(l.role)
		p.ranks[i], p.intact[i] = leg.Rank(policy, now), leg.isIntact(policy, now)
		p.noteBursts(l, leg.burst(policy))
		p.noteMissingVideo(l, snaps[i], leg.isMissingVideo(policy, now))
	}
	p.state = p.state.Observe(policy, legs, now).withPeer(peer.Peer).withoutDoubtIfAgreed(peer)
	p.settled = p.state.settled(now)
	d := Decide(policy, legs, p.state, now)
	return Agree(policy, legs, p.state, peer, d, now), legs, now
}

// follow carries decision d out, now or at the next IDR.
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
		} else if !waiting && !p.burstIsSooner(snap, now) {
			p.target, p.giveUp = d.Active, snap.LastIDR+snap.IDRInterval+lateIDR
			l.source.Stream().RequestIDR()
			return
		}
	}
	p.carryOut(d, l, nil)
}

// followDemand starts and stops the work that is done only while there are viewers.
func (p *Pair) followDemand(snaps []stream.Snapshot) {
	hasViewers := p.cfg.Output.ViewerCount() > 0
	if hasViewers != p.hasViewers {
		p.hasViewers = hasViewers
		p.setDemand(hasViewers)
		if hasViewers && p.state.Active != "" {
			l := p.leg(p.state.Active)
			p.switchAudio(l, l.sent+1, nil)
		} else if !hasViewers {
			p.sound.audio.Stop()
		}
	}
	p.sound.setPassthrough(snaps)
}

func (p *Pair) setDemand(on bool) {
	for _, l := range p.legs {
		l.source.Demand(on)
	}
}
