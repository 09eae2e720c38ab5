// Package peers knows where the media servers of the other leg are: there may be two of
// them, one that ends and its replacement, or one on a node that is lost and the one
// that a cluster started for it.
//
// It looks the peer's name up again and again and tells addresses. It does not say which
// of them is alive: whoever uses them asks all, and none must wait for another. Start with
// New.
package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// interval is how often the name is looked up, and lookupTimeout how long that may
	// take: a request to a name server that has just gone is asked again soon, of another.
	interval      = time.Second
	lookupTimeout = 2 * time.Second
	// missing is how many answers in a row must lack an address before it counts as gone:
	// a name server that starts may know but half of the truth.
	missing = 3
	// maxAddresses bounds what is taken of an answer.
	maxAddresses = 8
)

// Config configures a Directory.
type Config struct {
	// Base is the base URL of the other leg's media servers: http or https, a name or an
	// address, and a port; without a slash at its end. Required.
	Base string
	// Own is this server's own address, which is left out; the zero value leaves out none.
	Own netip.Addr
	// Lookup returns the addresses of a name. Default: that of net.DefaultResolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Logger; default none.
	Logger *slog.Logger
}

// A Directory holds the addresses of the other leg's media servers. Run keeps it.
type Directory struct {
	cfg       Config
	log       *slog.Logger
	base      *url.URL
	isAddress bool // the host is an address, so there is nothing to look up

	mu      sync.Mutex // guards the next three
	current []netip.Addr
	bases   []string      // of current
	changed chan struct{} // closed and replaced when bases changes

	// Owned by Run's goroutine:
	known    map[netip.Addr]int // how many answers in a row lacked it
	troubled bool               // the last look-up failed
}

// New returns a Directory; call Run. It has an address at once where the base URL names
// one. An error says what is wrong with the base URL.
func New(cfg Config) (*Directory, error) {
	u, err := url.Parse(cfg.Base)
	if err != nil {
		return nil, fmt.Errorf("read the peer's URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
		return nil, fmt.Errorf("read the peer's URL: %q must be http://host:port", u.Redacted())
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	d := &Directory{
		cfg: cfg, log: cfg.Logger.With("peer", cfg.Base), base: u,
		changed: make(chan struct{}), known: make(map[netip.Addr]int),
	}
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		d.isAddress = true
		d.take([]netip.Addr{address})
	}
	return d, nil
}

// Bases are the base URLs of the media servers, by address, without a slash at the end; in
// the same order as long as they are the same. The slice must not be changed.
func (d *Directory) Bases() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bases
}

// Includes says whether one of the media servers has that address.
func (d *Directory) Includes(a netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.current, a.Unmap())
}

// Changed returns a channel that is closed when Bases changes. Get it before Bases.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// ServerName is the name by which the certificate of an https server is to be verified,
// because the URLs have its address; empty where they are what was given.
func (d *Directory) ServerName() string {
	if d.isAddress {
		return ""
	}
	return d.base.Hostname()
}

// Run looks the name up until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	if d.isAddress {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		d.look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look asks once. Where nobody answers, what was known stays: a relay that runs must not
// end because the name server does.
func (d *Directory) look(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, err := d.cfg.Lookup(asking, d.base.Hostname())
	if missing := (*net.DNSError)(nil); errors.As(err, &missing) && missing.IsNotFound {
		addresses, err = nil, nil // a Service without a pod is an answer
	}
	if err != nil {
		if ctx.Err() == nil && !d.troubled {
			d.troubled = true
			d.log.Warn("the peer's name cannot be looked up; its last addresses stay", "error", err)
		}
		return
	}
	if d.troubled {
		d.troubled = false
		d.log.Info("the peer's name can be looked up again")
	}
	d.take(addresses)
}

// take notes an answer.
func (d *Directory) take(addresses []netip.Addr) {
	for a := range d.known {
		d.known[a]++
	}
	for _, a := range addresses {
		a = a.Unmap()
		if _, known := d.known[a]; a != d.cfg.Own.Unmap() && (known || len(d.known) < maxAddresses) {
			d.known[a] = 0
		}
	}
	var all []netip.Addr
	for a, absent := range d.known {
		if absent >= missing {
			delete(d.known, a)
			continue
		}
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	bases := make([]string, len(all))
	for i, a := range all {
		bases[i] = d.of(a)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Equal(bases, d.bases) {
		return
	}
	d.current, d.bases = all, bases
	close(d.changed)
	d.changed = make(chan struct{})
	d.log.Info("the peer's addresses", "bases", bases)
}

// of is the base URL of the media server with that address.
func (d *Directory) of(a netip.Addr) string {
	u := *d.base
	switch port := d.base.Port(); {
	case port != "":
		u.Host = net.JoinHostPort(a.String(), port)
	case a.Is6():
		u.Host = "[" + a.String() + "]"
	default:
		u.Host = a.String()
	}
	return u.String()
}
