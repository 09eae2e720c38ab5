package admission

import (
	"container/heap"
	"net/netip"
	"time"
)

// Limits bound the places behind a Door.
type Limits struct {
	// Max is the number of places; 0: no limit.
	Max int
	// MaxWaiting is how many clients may be waiting; 0: any number.
	MaxWaiting int
	// Grace is how long a waiting client keeps its place when only MaxWaiting is reached. When a
	// server comes back, all its clients connect at once. A client that is half way must not make
	// room for another that has just begun. Default: none.
	Grace time.Duration
	// MaxLeaving is how many clients may have lost their place and not left yet. They still hold
	// memory, so newcomers are refused beyond that; 0: any number.
	MaxLeaving int
	// MaxPerNetwork is how many places one network may have; 0: any number. Most doors have no such
	// limit, because many people may share one address.
	MaxPerNetwork int
}

// A class is what a client does. It decides whether the client may lose its place.
type class int

const (
	waiting class = iota // it has sent nothing yet, or it is idle: it goes first
	active               // it is being served, but has no media: it goes if no client waits
	holding              // it publishes or receives media: it stays
	classes
)

// A Reason is why a newcomer was refused. Reasons are label values of metrics.
type Reason string

const (
	letIn Reason = ""
	// ReasonFull means that clients that keep their places have all of them.
	ReasonFull Reason = "full"
	// ReasonLeaving means that clients come faster than the clients that lost their place can leave.
	ReasonLeaving Reason = "leaving"
	// ReasonShare means that the newcomer's network has as many places as it may have.
	ReasonShare Reason = "share"
	// ReasonClosed means that nobody is admitted any more.
	ReasonClosed Reason = "closed"
)

// A ledger knows the clients behind a door, and decides who goes. It has no clock and no lock. The
// time of each operation grows with the logarithm of the number of networks, and not with the
// number of clients: an attack has many newcomers.
type ledger struct {
	limits   Limits
	networks map[netip.Prefix]*network
	taken    int
	waiting  int
	leaving  int
	// byWaiting ranks the networks by clients that wait, byAny by all clients that may go.
	byWaiting, byAny ranking
}

// A network is an address or a subnet, with its clients.
type network struct {
	prefix  netip.Prefix
	total   int
	count   [classes]int
	clients [classes]list // oldest first
	// rank is the network's index in byWaiting and in byAny; -1: it is not in that ranking.
	rank [2]int
}

func newLedger(l Limits) *ledger {
	return &ledger{
		limits: l, networks: make(map[netip.Prefix]*network),
		byWaiting: ranking{which: 0}, byAny: ranking{which: 1},
	}
}

// enter gives p a place as a waiting client, or returns the reason why not. If another client loses
// its place for p, enter returns it as out. The caller must end that client, which then leaves like
// any other.
func (l *ledger) enter(p *Place, from netip.Prefix, now time.Time) (out *Place, refused Reason) {
	out, refused = l.decide(from, now)
	if refused != letIn {
		return nil, refused
	}
	if out != nil {
		l.evict(out)
	}
	l.insert(p, from, now)
	return out, letIn
}

// decide returns the client that must go for a newcomer, if any.
func (l *ledger) decide(from netip.Prefix, now time.Time) (out *Place, refused Reason) {
	own := l.networks[from]
	full := l.limits.Max > 0 && l.taken >= l.limits.Max
	switch {
	case l.limits.MaxPerNetwork > 0 && own != nil && own.total >= l.limits.MaxPerNetwork:
		if out = own.first(); out == nil {
			return nil, ReasonShare
		}
	case full:
		if out = l.byAny.first(own); out == nil || out.class == active && !l.yields(out.network, own) {
			return nil, ReasonFull
		}
	case l.limits.MaxWaiting > 0 && l.waiting >= l.limits.MaxWaiting:
		if out = l.byWaiting.first(own); out != nil && now.Sub(out.since) < l.limits.Grace {
			out = nil
		}
	}
	if out != nil && l.limits.MaxLeaving > 0 && l.leaving >= l.limits.MaxLeaving {
		return nil, ReasonLeaving
	}
	return out, letIn
}

// yields reports whether a client of n that is being served goes for a newcomer of own. It goes if n
// has more clients even after that. Otherwise two addresses, or the people behind one, would end
// each other's requests for ever, and nobody would be served.
func (l *ledger) yields(n, own *network) bool {
	if own == nil {
		return true
	}
	return n != own && l.byAny.count(n) > l.byAny.count(own)+1
}

// insert adds p to the clients of a network.
func (l *ledger) insert(p *Place, from netip.Prefix, now time.Time) {
	n := l.networks[from]
	if n == nil {
		n = &network{prefix: from, rank: [2]int{-1, -1}}
		l.networks[from] = n
	}
	p.network, p.class, p.since, p.state = n, waiting, now, present
	n.total++
	l.taken++
	l.add(p)
}

// evict takes p's place. p is then leaving.
func (l *ledger) evict(p *Place) {
	l.forget(p)
	p.state = leaving
	l.leaving++
}

// leave notes that p has left.
func (l *ledger) leave(p *Place) {
	switch p.state {
	case present:
		l.forget(p)
	case leaving:
		l.leaving--
	}
	p.state = gone
}

func (l *ledger) forget(p *Place) {
	l.remove(p)
	l.taken--
	n := p.network
	if n.total--; n.total == 0 {
		delete(l.networks, n.prefix)
	}
}

// become changes p's class at now.
func (l *ledger) become(p *Place, c class, now time.Time) {
	if p.state != present || p.class == c {
		return
	}
	l.remove(p)
	p.class, p.since = c, now
	l.add(p)
}

// move makes p count for another network.
func (l *ledger) move(p *Place, to netip.Prefix) {
	if p.state != present || p.network.prefix == to {
		return
	}
	c, since := p.class, p.since
	l.forget(p)
	l.insert(p, to, since)
	l.become(p, c, since)
}

// all returns every client.
func (l *ledger) all() []*Place {
	var all []*Place
	for _, n := range l.networks {
		for _, clients := range n.clients {
			for p := clients.head; p != nil; p = p.next {
				all = append(all, p)
			}
		}
	}
	return all
}

// expired evicts the clients that have waited for longer than limit, and returns them.
func (l *ledger) expired(limit time.Duration, now time.Time) []*Place {
	var out []*Place
	for _, n := range l.networks {
		for p := n.clients[waiting].head; p != nil && now.Sub(p.since) > limit; p = n.clients[waiting].head {
			l.evict(p)
			out = append(out, p)
		}
	}
	return out
}

func (l *ledger) add(p *Place) {
	n := p.network
	n.clients[p.class].insert(p)
	n.count[p.class]++
	if p.class == waiting {
		l.waiting++
	}
	l.rerank(n)
}

func (l *ledger) remove(p *Place) {
	n := p.network
	n.clients[p.class].remove(p)
	n.count[p.class]--
	if p.class == waiting {
		l.waiting--
	}
	l.rerank(n)
}

func (l *ledger) rerank(n *network) {
	l.byWaiting.place(n)
	l.byAny.place(n)
}

// first returns the client that n loses first; nil: all its clients stay.
func (n *network) first() *Place {
	if p := n.clients[waiting].head; p != nil {
		return p
	}
	return n.clients[active].head
}

// A ranking is a heap of the networks with clients that may go. The network with the most such
// clients comes first. Of several such networks, the one whose first client has waited longest comes
// first.
type ranking struct {
	which    int // 0: waiting clients count; 1: all clients that may go count
	networks []*network
}

// first returns the client that goes for a newcomer. The newcomer counts for its own network, which
// may be nil.
func (r *ranking) first(own *network) *Place {
	if len(r.networks) == 0 {
		return nil
	}
	top := r.networks[0]
	if own != nil && own.rank[r.which] >= 0 && r.isBefore(own, 1, top, 0) {
		top = own
	}
	return r.client(top)
}

func (r *ranking) client(n *network) *Place {
	if r.which == 0 {
		return n.clients[waiting].head
	}
	return n.first()
}

func (r *ranking) count(n *network) int {
	if r.which == 0 {
		return n.count[waiting]
	}
	return n.count[waiting] + n.count[active]
}

// isBefore reports whether a ranks before b, each with so many more clients than it has.
func (r *ranking) isBefore(a *network, moreOfA int, b *network, moreOfB int) bool {
	if x, y := r.count(a)+moreOfA, r.count(b)+moreOfB; x != y {
		return x > y
	}
	x, y := r.client(a), r.client(b)
	if x.class != y.class {
		return x.class < y.class
	}
	return x.since.Before(y.since)
}

// place moves n to its position after the clients of n have changed.
func (r *ranking) place(n *network) {
	index, has := n.rank[r.which], r.count(n) > 0
	switch {
	case has && index < 0:
		heap.Push(r, n)
	case has:
		heap.Fix(r, index)
	case index >= 0:
		heap.Remove(r, index)
	}
}

// Len implements heap.Interface, like the next four methods.
func (r *ranking) Len() int { return len(r.networks) }

// Less reports whether i ranks before j. A network that has just lost its last client is being
// removed, and ranks last.
func (r *ranking) Less(i, j int) bool {
	a, b := r.networks[i], r.networks[j]
	if r.count(a) == 0 || r.count(b) == 0 {
		return r.count(a) > r.count(b)
	}
	return r.isBefore(a, 0, b, 0)
}

// Swap swaps two networks.
func (r *ranking) Swap(i, j int) {
	r.networks[i], r.networks[j] = r.networks[j], r.networks[i]
	r.networks[i].rank[r.which], r.networks[j].rank[r.which] = i, j
}

// Push appends a *network.
func (r *ranking) Push(x any) {
	n := x.(*network)
	n.rank[r.which] = len(r.networks)
	r.networks = append(r.networks, n)
}

// Pop removes the last network.
func (r *ranking) Pop() any {
	last := len(r.networks) - 1
	n := r.networks[last]
	n.rank[r.which] = -1
	r.networks[last] = nil
	r.networks = r.networks[:last]
	return n
}

// A list holds clients by age, the oldest first.
type list struct{ head, tail *Place }

// insert puts p behind all clients that are not younger. Clients come in the order of time, except
// when goroutines overtook each other. So insert looks at only the last few.
func (l *list) insert(p *Place) {
	after := l.tail
	for after != nil && p.since.Before(after.since) {
		after = after.previous
	}
	p.previous = after
	if after == nil {
		p.next, l.head = l.head, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		l.tail = p
	} else {
		p.next.previous = p
	}
}

func (l *list) remove(p *Place) {
	if p.previous == nil {
		l.head = p.next
	} else {
		p.previous.next = p.next
	}
	if p.next == nil {
		l.tail = p.previous
	} else {
		p.next.previous = p.previous
	}
	p.previous, p.next = nil, nil
}
