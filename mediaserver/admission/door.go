package admission

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

// DoorConfig configures a Door.
type DoorConfig struct {
	// Name is the name of the door in metrics and in refusals: "http", "events". Required.
	Name string
	// Limits bound the places.
	Limits Limits
	// IdleLimit is how long a client may wait while at least half of the places are free.
	// IdleLimitFull is how long it may wait when no place is free. In between, the limit shrinks
	// evenly. [Door.EndIdle] ends the clients that have waited longer. IdleLimit 0: for ever.
	// IdleLimitFull 0: as long as IdleLimit.
	IdleLimit, IdleLimitFull time.Duration
	// Metrics has the counters. Default: nothing is counted.
	Metrics *metrics.Metrics
}

// A Door has the places of one kind, and decides who gets a place. It is safe for concurrent use.
type Door struct {
	cfg      DoorConfig
	places   prometheus.Gauge // nil: nothing is counted
	mu       sync.Mutex       // guards ledger and isClosed, and all Places
	ledger   *ledger
	isClosed bool
}

// NewDoor returns a Door without clients.
func NewDoor(cfg DoorConfig) *Door {
	if cfg.IdleLimitFull == 0 {
		cfg.IdleLimitFull = cfg.IdleLimit
	}
	d := &Door{cfg: cfg, ledger: newLedger(cfg.Limits)}
	if cfg.Metrics != nil {
		d.places = cfg.Metrics.AdmissionPlaces.WithLabelValues(cfg.Name)
	}
	return d
}

// A Refusal says why a newcomer got no place.
type Refusal struct {
	// Door is the name of the door.
	Door string
	// Reason is the reason as metrics have it.
	Reason Reason
}

// Error returns a sentence for the log.
func (r *Refusal) Error() string {
	switch r.Reason {
	case ReasonLeaving:
		return fmt.Sprintf("no place behind the %s door: clients come faster than others can go; try again", r.Door)
	case ReasonClosed:
		return fmt.Sprintf("no place behind the %s door: the server is shutting down", r.Door)
	case ReasonShare:
		return fmt.Sprintf("no place behind the %s door: this address has as many as one address may have", r.Door)
	}
	return fmt.Sprintf("no place behind the %s door: all are taken by those who stay; try again later", r.Door)
}

// Enter gives a newcomer of that network a place, or returns a [*Refusal]. The newcomer counts as
// waiting, and may lose its place until it holds media. If it loses its place, end is called once,
// from the goroutine of another newcomer. end must not block. Every Place must be given back by
// Leave, also after end.
func (d *Door) Enter(from netip.Prefix, end func()) (*Place, error) {
	p := &Place{door: d, end: end}
	d.mu.Lock()
	out, refused := (*Place)(nil), ReasonClosed
	if !d.isClosed {
		out, refused = d.ledger.enter(p, from, time.Now())
		d.count()
	}
	d.mu.Unlock()
	if refused != letIn {
		d.refuse(refused)
		return nil, &Refusal{d.cfg.Name, refused}
	}
	if out != nil {
		d.ended("newcomer", out)
	}
	return p, nil
}

// Taken returns the number of places taken, without the clients that are leaving.
func (d *Door) Taken() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.taken
}

// Waiting returns the number of clients that wait.
func (d *Door) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.waiting
}

// EndIdle ends the clients that have waited for longer than they may at present. It should be called
// every second or so.
func (d *Door) EndIdle(now time.Time) {
	if d.cfg.IdleLimit == 0 {
		return
	}
	d.mu.Lock()
	out := d.ledger.expired(d.cfg.idleLimit(d.ledger.taken), now)
	d.count()
	d.mu.Unlock()
	d.ended("idle", out...)
}

// idleLimit returns how long a client may wait while so many places are taken.
func (c DoorConfig) idleLimit(taken int) time.Duration {
	free, half := c.Limits.Max-taken, c.Limits.Max/2
	if c.Limits.Max == 0 || free >= half {
		return c.IdleLimit
	}
	return c.IdleLimitFull + (c.IdleLimit-c.IdleLimitFull)*time.Duration(max(0, free))/time.Duration(half)
}

// Close ends all clients, and admits nobody any more.
func (d *Door) Close() {
	d.mu.Lock()
	d.isClosed = true
	out := d.ledger.all()
	d.mu.Unlock()
	for _, p := range out {
		p.end()
	}
}

func (d *Door) ended(why string, out ...*Place) {
	for _, p := range out {
		if d.cfg.Metrics != nil {
			d.cfg.Metrics.AdmissionEnded.WithLabelValues(d.cfg.Name, why).Inc()
		}
		p.end()
	}
}

func (d *Door) refuse(r Reason) {
	if d.cfg.Metrics != nil {
		d.cfg.Metrics.AdmissionRefusals.WithLabelValues(d.cfg.Name, string(r)).Inc()
	}
}

// count updates the metric of places taken. d.mu must be held.
func (d *Door) count() {
	if d.places != nil {
		d.places.Set(float64(d.ledger.taken))
	}
}

// presence is whether a client has its place.
type presence int

const (
	present presence = iota
	leaving          // it has lost its place, but has not left yet
	gone
)

// A Place is the place of one client. It is safe for concurrent use. The Door guards all of it.
type Place struct {
	door *Door
	end  func()

	state   presence
	network *network
	class   class
	since   time.Time // when the client came into its class
	// base is the client's class without media. holds counts its Holds.
	base  class
	holds int

	previous, next *Place // in the list of clients of the same network and class
}

// Wait notes that the client is idle from now on. It goes before clients that are served.
func (p *Place) Wait() { p.be(waiting) }

// Serve notes that the client is being served from now on. It then goes only for a newcomer whose
// network has fewer clients.
func (p *Place) Serve() { p.be(active) }

func (p *Place) be(c class) {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.base = c
	if p.holds == 0 {
		p.door.ledger.become(p, c, time.Now())
	}
}

// Hold notes that the client publishes or receives media from now on: it keeps its place. It may
// lose its place again once every Hold has been followed by a Release.
func (p *Place) Hold() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.holds++
	p.door.ledger.become(p, holding, time.Now())
}

// Release undoes one Hold.
func (p *Place) Release() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.holds--; p.holds == 0 {
		p.door.ledger.become(p, p.base, time.Now())
	}
}

// Move makes the place count for another network: the network that the client's media comes from.
func (p *Place) Move(to netip.Prefix) {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.door.ledger.move(p, to)
}

// Leave gives the place back. It may be called again.
func (p *Place) Leave() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.door.ledger.leave(p)
	p.door.count()
}
