// Package peers knows where the media servers of the other leg are: there may be two of
// them, one that ends and its replacement, or one on a node that is lost and the one
// that a cluster started for it.
//
// It looks the peer's name up again and again and tells addresses. It does not say which
// of them is alive: whoever uses them asks all, and none must wait for another.
//
// It also says how each is reached. A server is reached over TLS, unless the operator has
// said of it that it is of a version that cannot: see Word and Route. Start with New.
package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
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
	// metFor is how many more answers may lack the address of a server that has shown
	// itself: a cluster's name server may keep an answer for half a minute.
	metFor = 60
	// maxAddresses bounds what is taken of an answer, and as many servers that have shown
	// themselves: whoever answers for the name server must not take their places.
	maxAddresses = 8
)

// Config configures a Directory.
type Config struct {
	// Base is the base URL of the other leg's media servers: http or https, a name or an
	// address, and a port; without a slash at its end. Required. With http they are reached
	// in clear always.
	Base string
	// ClearPort is where a server is reached in clear by http, if a Word allows that. 0: it
	// is never.
	ClearPort uint16
	// Own is this server's own address, which is left out; the zero value leaves out none.
	Own netip.Addr
	// Lookup returns the addresses of a name. Default: that of net.DefaultResolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// OnChange is called when Status changes. It must not block, nor call the Directory.
	// Default: nobody wants to know.
	OnChange func()
	// Logger; default none.
	Logger *slog.Logger
}

// A Directory holds the addresses of the other leg's media servers. Run keeps it.
type Directory struct {
	cfg       Config
	log       *slog.Logger
	base      *url.URL
	isAddress bool // the host is an address, so there is nothing to look up

	mu      sync.Mutex // guards all below
	known   map[netip.Addr]*server
	current []netip.Addr  // of known, in the order of bases
	bases   []string      // of current
	changed chan struct{} // closed and replaced when bases changes
	clear   clearance

	troubled bool // the last look-up failed; owned by Run's goroutine
}

// New returns a Directory; call Run. It has an address at once where the base URL names
// one. An error says what is wrong with the base URL.
func New(cfg Config) (*Directory, error) {
	u, err := url.Parse(cfg.Base)
	if err != nil {
		return nil, fmt.Errorf("read the peer's URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
		return nil, fmt.Errorf("read the peer's URL: %q must be https://host:port", u.Redacted())
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	d := &Directory{
		cfg: cfg, log: cfg.Logger.With("peer", cfg.Base), base: u,
		changed: make(chan struct{}), known: make(map[netip.Addr]*server), clear: newClearance(),
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

// Meet notes that a media server of the other leg has connected from that address, and has
// proved who it is: it is there before its name is known everywhere, and while no name
// server is.
func (d *Directory) Meet(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a = a.Unmap()
	if d.known[a] != nil || d.isAddress || a == d.cfg.Own.Unmap() || len(d.known) >= 2*maxAddresses {
		return
	}
	d.add(a).absent = -metFor
	d.tell()
}

// take notes an answer.
func (d *Directory) take(addresses []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for a, s := range d.known {
		if s.absent++; s.absent >= missing {
			delete(d.known, a)
		}
	}
	named := 0
	for _, a := range d.ownFamily(addresses) {
		if a == d.cfg.Own.Unmap() {
			continue
		}
		if named++; named > maxAddresses {
			break
		}
		if d.known[a] == nil && len(d.known) < 2*maxAddresses {
			d.add(a)
		}
		if s := d.known[a]; s != nil {
			s.absent = 0
		}
	}
	d.tell()
}

// add makes an address known. d.mu is held.
func (d *Directory) add(a netip.Addr) *server {
	s := &server{over: make(chan struct{}), inClear: d.clear.named(a)}
	d.known[a] = s
	return s
}

// ownFamily are those addresses of the family that this server's own is of, if there are
// any: where a server has one of each, one is enough.
func (d *Directory) ownFamily(addresses []netip.Addr) []netip.Addr {
	var own, all []netip.Addr
	for _, a := range addresses {
		a = a.Unmap()
		all = append(all, a)
		if d.cfg.Own.IsValid() && a.Is4() == d.cfg.Own.Unmap().Is4() {
			own = append(own, a)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// tell brings bases up to date. d.mu is held.
func (d *Directory) tell() {
	all := slices.SortedFunc(maps.Keys(d.known), netip.Addr.Compare)
	bases := make([]string, len(all))
	for i, a := range all {
		bases[i] = d.of(a)
	}
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
	port, _ := strconv.ParseUint(d.base.Port(), 10, 16)
	return baseURL(d.base.Scheme, a, uint16(port))
}

// baseURL is a base URL; port 0: that of the scheme.
func baseURL(scheme string, a netip.Addr, port uint16) string {
	u := url.URL{Scheme: scheme}
	switch {
	case port != 0:
		u.Host = net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
	case a.Is6():
		u.Host = "[" + a.String() + "]"
	default:
		u.Host = a.String()
	}
	return u.String()
}
