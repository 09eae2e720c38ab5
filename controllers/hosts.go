package controllers

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// hostTTL is how long the addresses of a load balancer's name are used. Clouds move
	// them rarely, and publish them with 60 s.
	hostTTL = time.Minute
	// hostRetry is when a name that does not resolve is looked up again: a load balancer's
	// name is published a while after the Service has it.
	hostRetry = 5 * time.Second
	// hostTimeout bounds one look-up, and so how long it may hold up a pair's reconcile.
	hostTimeout = 2 * time.Second
)

// A Resolver finds the addresses of a host name; [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A ResolvedHost has the addresses of a host name, in a fixed order; none when it does
// not resolve.
type ResolvedHost struct {
	Addresses []netip.Addr
	// Expires is when it is to be looked up again.
	Expires time.Time
}

// hostCache keeps what names resolved to. Its zero value is ready for use.
type hostCache struct {
	mu    sync.Mutex
	hosts map[string]ResolvedHost // guarded by mu
}

// resolve returns the addresses of host, at most hostTTL old. When the name can't be
// resolved any more, the last addresses are kept: a name server's failure is no reason to
// take working addresses away from viewers.
func (c *hostCache) resolve(ctx context.Context, resolver Resolver, host string, now time.Time) ResolvedHost {
	c.mu.Lock()
	known := c.hosts[host]
	c.mu.Unlock()
	if now.Before(known.Expires) {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	found := ResolvedHost{Expires: now.Add(hostTTL)}
	for _, address := range addresses {
		found.Addresses = append(found.Addresses, address.Unmap())
	}
	// Name servers rotate: without an order each look-up would look like a change.
	slices.SortFunc(found.Addresses, netip.Addr.Compare)
	found.Addresses = slices.Compact(found.Addresses)
	if err != nil || len(found.Addresses) == 0 {
		found = ResolvedHost{Addresses: known.Addresses, Expires: now.Add(hostRetry)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts == nil {
		c.hosts = map[string]ResolvedHost{}
	}
	for name, h := range c.hosts {
		if now.After(h.Expires.Add(10 * hostTTL)) {
			delete(c.hosts, name) // its Service is gone
		}
	}
	c.hosts[host] = found
	return found
}
