package peer

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
	// interval is how often the name is looked up. lookupTimeout is how long a look-up may take. If
	// a name server has just gone, the next look-up soon asks another name server.
	interval      = time.Second
	lookupTimeout = 2 * time.Second
	// maxAbsent is how many answers in a row must lack an address before its server counts as gone. A
	// name server that has just started may know only some of the addresses.
	maxAbsent = 3
	// provenGrace is how many more answers may lack the address of a server that has proved its
	// identity. A cluster's name server may keep an answer for half a minute.
	provenGrace = 60
	// maxAddresses bounds the addresses that are used of an answer. As many servers that have
	// proved their identity are known besides: a false name server must not take their places.
	maxAddresses = 8
)

// DirectoryConfig configures a Directory.
type DirectoryConfig struct {
	// Base is the base URL of the other leg's media servers: http or https, a name or an address,
	// and a port, without a slash at the end. Required. With http, servers are always reached in
	// clear.
	Base string
	// ClearPort is the port where a server is reached by http, if a ClearPolicy allows that. 0: no
	// server is.
	ClearPort uint16
	// Own is this server's own address, which is left out; zero: no address is left out.
	Own netip.Addr
	// Lookup returns the addresses of a name. Default: net.DefaultResolver does.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// OnChange is called after SetClearPolicy, and when a server's Link begins or ends. It must not
	// block, and must not call the Directory. Default: nothing is called.
	OnChange func()
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
}

// A Directory knows where the media servers of the other leg are. There may be two of them: a
// server that ends and its replacement, or a server on a lost node and the one that a cluster
// started instead.
//
// Run looks the peer's name up again and again, and publishes the addresses. A Directory does not
// say which servers are alive. Users ask all of them, and must not wait for one before they ask
// another.
//
// A Directory also says how each server is reached. A server is reached over TLS, unless the
// operator has said that the server's version cannot speak TLS: see ClearPolicy and Route.
type Directory struct {
	cfg       DirectoryConfig
	log       *slog.Logger
	base      *url.URL
	isAddress bool // the host is an address, so there is nothing to look up

	mu      sync.Mutex // guards all below
	known   map[netip.Addr]*server
	current []netip.Addr  // the keys of known, in the order of bases
	bases   []string      // the base URLs of current
	changed chan struct{} // closed and replaced when bases changes
	clear   clearState

	troubled bool // the last look-up failed; owned by Run's goroutine
}

// NewDirectory returns a Directory. Call Run to keep it up to date. If the base URL has an address
// instead of a name, the Directory has that address at once. An error says what is wrong with the
// base URL.
func NewDirectory(cfg DirectoryConfig) (*Directory, error) {
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
		changed: make(chan struct{}), known: make(map[netip.Addr]*server), clear: newClearState(),
	}
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		d.isAddress = true
		d.take([]netip.Addr{address})
	}
	return d, nil
}

// Bases returns the base URLs of the media servers, sorted by address, without a slash at the end.
// The slice must not be changed.
func (d *Directory) Bases() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bases
}

// Includes reports whether one of the media servers has address a.
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

// look looks the name up once. If there is no answer, the known addresses stay: a relay that runs
// must not end because the name server does.
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

// Meet notes that a media server of the other leg has connected from address a, and has proved its
// identity. A server may connect before its name is known everywhere, or while there is no name
// server.
func (d *Directory) Meet(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a = a.Unmap()
	if d.known[a] != nil || d.isAddress || a == d.cfg.Own.Unmap() || len(d.known) >= 2*maxAddresses {
		return
	}
	d.add(a).absent = -provenGrace
	d.tell()
}

// take notes the addresses in an answer of the name server.
func (d *Directory) take(addresses []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for a, s := range d.known {
		if s.absent++; s.absent >= maxAbsent {
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

// add makes an address known. d.mu must be held.
func (d *Directory) add(a netip.Addr) *server {
	s := &server{over: make(chan struct{}), inClear: d.clear.isListed(a)}
	d.known[a] = s
	return s
}

// ownFamily returns the addresses of the same family (IPv4 or IPv6) as this server's own address,
// or all addresses if there are none of that family. If a server has an address of each family, one
// is enough.
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

// tell updates bases. d.mu must be held.
func (d *Directory) tell() {
	all := slices.SortedFunc(maps.Keys(d.known), netip.Addr.Compare)
	bases := make([]string, len(all))
	for i, a := range all {
		bases[i] = d.baseOf(a)
	}
	if slices.Equal(bases, d.bases) {
		return
	}
	d.current, d.bases = all, bases
	close(d.changed)
	d.changed = make(chan struct{})
	d.log.Info("the peer's addresses", "bases", bases)
}

// baseOf returns the base URL of the media server with address a.
func (d *Directory) baseOf(a netip.Addr) string {
	port, _ := strconv.ParseUint(d.base.Port(), 10, 16)
	return baseURL(d.base.Scheme, a, uint16(port))
}

// baseURL makes a base URL. Port 0 means the default port of the scheme.
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
