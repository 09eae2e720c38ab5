package addresses

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/observed"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// hostTTL is how long the addresses of a load balancer's name are used.
	// Clouds rarely change them, and publish them with a TTL of 60 s.
	hostTTL = time.Minute
	// hostRetry is after what time a name that did not resolve is
	// looked up again. A load balancer's name is published some time
	// after the Service has it. The wait doubles up to hostTTL.
	hostRetry = 5 * time.Second
	// hostTimeout bounds one look-up. hostWorkers is how many look-ups run at a time.
	hostTimeout = 5 * time.Second
	hostWorkers = 16
)

// A Resolver finds the addresses of a host name. [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Hosts keeps what names resolved to. Names are looked up outside
// the reconciles, so that no name server delays a reconcile. A
// reconcile gets what is known, and runs again when there is more.
type Hosts struct {
	resolver Resolver
	now      func() time.Time
	hints    *hints.Queue

	mu    sync.Mutex
	hosts map[string]*hostEntry // guarded by mu
	queue []string              // guarded by mu
	wake  chan struct{}         // has an element if queue has
}

type hostEntry struct {
	known    observed.Host
	failures int
	// waiting are the pairs that have asked since the last look-up began.
	waiting map[types.NamespacedName]struct{}
	asked   time.Time
}

// NewHosts returns Hosts that know no names yet.
func NewHosts(resolver Resolver, now func() time.Time) *Hosts {
	return &Hosts{
		resolver: resolver, now: now, hints: hints.NewQueue(),
		hosts: map[string]*hostEntry{}, wake: make(chan struct{}, 1),
	}
}

// Resolve returns what is known of a host. It starts a look-up if the answer is
// older than hostTTL. The last addresses are kept when the name no longer resolves,
// because a failing name server must not take working addresses away from viewers.
func (c *Hosts) Resolve(host string, pair types.NamespacedName, now time.Time) observed.Host {
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
	return observed.Host{Addresses: h.known.Addresses}
}

// wakeUp makes one worker look at the queue. mu is held.
func (c *Hosts) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Start looks names up until ctx ends. Only the manager's leader runs it.
func (c *Hosts) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	for range hostWorkers {
		workers.Go(func() { c.work(ctx) })
	}
	c.hints.Deliver(ctx)
	workers.Wait()
	return nil
}

func (c *Hosts) work(ctx context.Context) {
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

// lookUp looks up one name, keeps the answer and hints at the pairs that wait for it.
func (c *Hosts) lookUp(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	addresses, err := c.resolver.LookupNetIP(ctx, "ip", host)
	now := c.now()
	found := observed.Host{Expires: now.Add(hostTTL)}
	for _, address := range addresses {
		found.Addresses = append(found.Addresses, address.Unmap())
	}
	// Name servers rotate addresses. Without sorting, each look-up would look like a change.
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
		c.hints.Add(pair)
	}
	h.waiting = map[types.NamespacedName]struct{}{}
	for name, other := range c.hosts {
		if len(other.waiting) == 0 && now.Sub(other.asked) > 10*hostTTL {
			delete(c.hosts, name) // no Service has this name any more
		}
	}
}

// Source hints at pairs when one of their names was looked up.
func (c *Hosts) Source() source.Source { return c.hints.Source() }

// Recheck returns after what time the first of the
// load balancers' names must be looked up again.
func Recheck(seen *observed.Pair, now time.Time) time.Duration {
	var recheck time.Duration
	for _, host := range seen.Hosts {
		if host.Expires.IsZero() {
			continue // it is being looked up
		}
		recheck = hints.Earliest(recheck, max(host.Expires.Sub(now), time.Second))
	}
	return recheck
}
