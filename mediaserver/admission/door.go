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
	// Name is the door's in metrics and in refusals: "http", "events". Required.
	Name string
	// Limits are the places.
	Limits Limits
	// IdleLimit is how long a guest may wait while at least half of the places are free;
	// IdleLimitFull, when none is free; between the two the limit shrinks evenly. It is
	// [Door.EndIdle] that ends those who waited longer. IdleLimit 0: for ever; IdleLimitFull 0:
	// no less than IdleLimit.
	IdleLimit, IdleLimitFull time.Duration
	// Metrics; default: nothing is counted.
	Metrics *metrics.Metrics
}

// A Door holds the places of one kind, and decides who gets one. It is safe for concurrent
// use.
type Door struct {
	cfg      DoorConfig
	places   prometheus.Gauge // nil: nothing is counted
	mu       sync.Mutex       // guards the next line, and all Places
	ledger   *ledger
	isClosed bool
}

// NewDoor returns a Door with nobody behind it.
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
	// Reason is the word for metrics.
	Reason Reason
}

// Error returns a sentence for whoever reads the log.
func (r *Refusal) Error() string {
	switch r.Reason {
	case ReasonLeaving:
		return fmt.Sprintf("no place behind the %s door: guests come faster than others can go; try again", r.Door)
	case ReasonClosed:
		return fmt.Sprintf("no place behind the %s door: the server is shutting down", r.Door)
	case ReasonShare:
		return fmt.Sprintf("no place behind the %s door: this address has as many as one address may have", r.Door)
	}
	return fmt.Sprintf("no place behind the %s door: all are taken by those who stay; try again later", r.Door)
}

// Enter gives a newcomer of that network a place, or returns a [*Refusal]. The newcomer
// waits: it may lose its place, until it holds media. Then end is called, once, from the
// goroutine of another newcomer; it must not block. Whoever has a place must Leave it, also
// after end.
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

// Taken is the number of places taken, without those of guests that are leaving.
func (d *Door) Taken() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.taken
}

// Waiting is the number of guests that wait.
func (d *Door) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.waiting
}

// EndIdle ends the guests that have waited for longer than they may at the moment. It is to
// be called every second or so.
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

// idleLimit is how long a guest may wait while so many places are taken.
func (c DoorConfig) idleLimit(taken int) time.Duration {
	free, half := c.Limits.Max-taken, c.Limits.Max/2
	if c.Limits.Max == 0 || free >= half {
		return c.IdleLimit
	}
	return c.IdleLimitFull + (c.IdleLimit-c.IdleLimitFull)*time.Duration(max(0, free))/time.Duration(half)
}

// Close ends all guests, and lets nobody in any more.
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

// count shows how many places are taken. d.mu is held.
func (d *Door) count() {
	if d.places != nil {
		d.places.Set(float64(d.ledger.taken))
	}
}

// presence says whether a guest has its place.
type presence int

const (
	present presence = iota
	leaving          // it lost its place, and is not gone yet
	gone
)

// A Place is a guest's. It is safe for concurrent use. All of it is guarded by the Door.
type Place struct {
	door *Door
	end  func()

	state   presence
	network *network
	class   class
	since   time.Time // since when it is of that class
	// base is what the guest does besides holding media, and holds how often it does that.
	base  class
	holds int

	previous, next *Place // in the list of its network and class
}

// Wait says that the guest is idle from now on: it goes before those who are served.
func (p *Place) Wait() { p.be(waiting) }

// Serve says that the guest is being served from now on. It then goes only for a newcomer
// whose network has fewer guests.
func (p *Place) Serve() { p.be(active) }

func (p *Place) be(c class) {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.base = c
	if p.holds == 0 {
		p.door.ledger.become(p, c, time.Now())
	}
}

// Hold says that the guest publishes or receives media from now on: it keeps its place. The
// guest may lose its place again once every Hold has been followed by a Release.
func (p *Place) Hold() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.holds++
	p.door.ledger.become(p, holding, time.Now())
}

// Release takes back one Hold.
func (p *Place) Release() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.holds--; p.holds == 0 {
		p.door.ledger.become(p, p.base, time.Now())
	}
}

// Move makes the place count for another network, the one the guest's media comes from.
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
