package controllers

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// hostTTL is how long the addresses of a load balancer's name are used. Clouds move
	// them rarely, and publish them with 60 s.
	hostTTL = time.Minute
	// hostRetry is when a name that does not resolve is looked up again: a load balancer's
	// name is published a while after the Service has it. The wait doubles up to hostTTL.
	hostRetry = 5 * time.Second
	// hostTimeout bounds one look-up, and hostWorkers how many there are at a time.
	hostTimeout = 5 * time.Second
	hostWorkers = 16
)

// A Resolver finds the addresses of a host name; [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A ResolvedHost has the addresses of a host name, in a fixed order; none when it does
// not resolve, or is being looked up for the first time.
type ResolvedHost struct {
	Addresses []netip.Addr
	// Expires is when it is to be looked up again; zero: it is being looked up, and the pair
	// is hinted at when that is done.
	Expires time.Time
}

// A hostCache keeps what names resolved to. Names are looked up beside the reconciles, which
// no name server can hold up: they get what is known, and look again when there is more.
type hostCache struct {
	resolver Resolver
	now      func() time.Time
	hints    *hintQueue

	mu    sync.Mutex
	hosts map[string]*hostEntry // guarded by mu
	queue []string              // guarded by mu
	wake  chan struct{}         // has an element if queue has
}

type hostEntry struct {
	known    ResolvedHost
	failures int
	// waiting are the pairs that asked since the last look-up began.
	waiting map[types.NamespacedName]struct{}
	asked   time.Time
}

func newHostCache(resolver Resolver, now func() time.Time) *hostCache {
	return &hostCache{
		resolver: resolver, now: now, hints: newHintQueue(),
		hosts: map[string]*hostEntry{}, wake: make(chan struct{}, 1),
	}
}

// resolve returns what is known of a host, and has it looked up if that is older than
// hostTTL. When the name can't be resolved any more, the last addresses are kept: a name
// server's failure is no reason to take working addresses away from viewers.
func (c *hostCache) resolve(host string, pair types.NamespacedName, now time.Time) ResolvedHost {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[host]
	if h == nil {
		h = &hostEntry{waiting: map[types.NamespacedName]struct{}{}}
		c.hosts[host] = h
	}
	h.asked = now
	if now.Before(h.known.Expires) {
		return h.known
	}
	if len(h.waiting) == 0 {
		c.queue = append(c.queue, host)
		c.wakeUp()
	}
	h.waiting[pair] = struct{}{}
	return ResolvedHost{Addresses: h.known.Addresses}
}

// wakeUp has one worker look at the queue. mu is held.
func (c *hostCache) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Start looks names up until ctx ends. It is of the manager's leader.
func (c *hostCache) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	for range hostWorkers {
		workers.Go(func() { c.work(ctx) })
	}
	c.hints.deliver(ctx)
	workers.Wait()
	return nil
}

func (c *hostCache) work(ctx context.Context) {
	for {
		c.mu.Lock()
		host := ""
		if len(c.queue) > 0 {
			host, c.queue = c.queue[0], c.queue[1:]
		}
		if len(c.queue) > 0 {
			c.wakeUp()
		}
		c.mu.Unlock()
		if host != "" {
			c.lookUp(ctx, host)
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// lookUp asks for one name, keeps the answer and hints at who waits for it.
func (c *hostCache) lookUp(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	addresses, err := c.resolver.LookupNetIP(ctx, "ip", host)
	now := c.now()
	found := ResolvedHost{Expires: now.Add(hostTTL)}
	for _, address := range addresses {
		found.Addresses = append(found.Addresses, address.Unmap())
	}
	// Name servers rotate: without an order each look-up would look like a change.
	slices.SortFunc(found.Addresses, netip.Addr.Compare)
	found.Addresses = slices.Compact(found.Addresses)

	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[host]
	h.failures++
	if err != nil || len(found.Addresses) == 0 {
		wait := min(hostRetry<<min(h.failures-1, 10), hostTTL)
		h.known.Expires = now.Add(wait)
	} else {
		h.known, h.failures = found, 0
	}
	for pair := range h.waiting {
		c.hints.add(pair)
	}
	h.waiting = map[types.NamespacedName]struct{}{}
	for name, other := range c.hosts {
		if len(other.waiting) == 0 && now.Sub(other.asked) > 10*hostTTL {
			delete(c.hosts, name) // its Service is gone
		}
	}
}

// source hints at pairs when one of their names was looked up.
func (c *hostCache) source() source.Source { return c.hints.source() }
