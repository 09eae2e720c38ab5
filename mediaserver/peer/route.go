package peer

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// ErrRouteOver is the cause that ends a request when its Route must not be used any more.
var ErrRouteOver = errors.New("the peer is reached over TLS from now on")

// RefusedInClear is the answer to a server that asks in clear and must not.
const RefusedInClear = "relay and forwarding are served over TLS alone, on the relay port (9092), to the other server of the pair; in clear nothing is"

// A ClearPolicy is what the operator says about the other leg's media servers. Only a ClearPolicy
// makes a server send anything in clear. A server without a ClearPolicy speaks only TLS.
type ClearPolicy struct {
	// Clear has the addresses of the servers that do not speak TLS.
	Clear []netip.Addr
	// Any reports whether any server may be one that does not speak TLS: the operator's version
	// cannot tell which ones do not.
	Any bool
}

// A Route is how a media server of the other leg is reached at present.
type Route struct {
	// Base is the server's base URL, without a slash at the end.
	Base string
	// Clear reports whether the route is in clear: everybody on the way can read the data, and
	// nobody knows who answers.
	Clear bool
	// over is closed when the route must not be used any more; nil: never.
	over <-chan struct{}
}

// Plain returns the route to a base URL that does not depend on a ClearPolicy.
func Plain(base string) Route {
	return Route{Base: base, Clear: !strings.HasPrefix(base, "https:")}
}

// Bind returns a context that ends with ctx, and with ErrRouteOver as its cause when the
// route must not be used any more. stop must be called.
func (r Route) Bind(ctx context.Context) (bound context.Context, stop context.CancelCauseFunc) {
	return While(ctx, r.over)
}

// While returns a context that ends with ctx, and with ErrRouteOver as its cause when over is
// closed. stop must be called.
func While(ctx context.Context, over <-chan struct{}) (bound context.Context, stop context.CancelCauseFunc) {
	bound, stop = context.WithCancelCause(ctx)
	if over != nil {
		go func() {
			select {
			case <-over:
				stop(ErrRouteOver)
			case <-bound.Done():
			}
		}()
	}
	return bound, stop
}

// A server is a server of the other leg. It is guarded by Directory.mu.
type server struct {
	absent int // how many answers in a row lacked the server's address; below zero: see Meet
	// inClear reports whether the server is reached in clear, as long as that is allowed.
	inClear bool
	over    chan struct{} // closed and replaced when the server must not be reached in clear any more
	tls     int           // number of connections that the server answers over TLS
	plain   int           // number of connections that the server answers in clear
}

// A clearState is what the ClearPolicy in force allows. It is guarded by Directory.mu.
type clearState struct {
	told   bool
	policy ClearPolicy
	over   chan struct{} // closed and replaced when no server may be spoken to in clear any more
}

func newClearState() clearState { return clearState{over: make(chan struct{})} }

// isListed reports whether the operator has said that the server with address a does not speak TLS.
func (c clearState) isListed(a netip.Addr) bool { return slices.Contains(c.policy.Clear, a) }

// allows reports whether the server with address a may be spoken to in clear.
func (c clearState) allows(a netip.Addr) bool { return c.policy.Any || c.isListed(a) }

// isEmpty reports whether no server may be spoken to in clear.
func (c clearState) isEmpty() bool { return !c.policy.Any && len(c.policy.Clear) == 0 }

// SetClearPolicy replaces the ClearPolicy in force. Connections in clear that the new ClearPolicy
// does not allow end.
func (d *Directory) SetClearPolicy(w ClearPolicy) {
	w.Clear = slices.Clone(w.Clear)
	for i, a := range w.Clear {
		w.Clear[i] = a.Unmap()
	}
	d.mu.Lock()
	before := d.clear
	d.clear.told, d.clear.policy = true, w
	for a, s := range d.known {
		switch {
		case !d.clear.allows(a):
			s.inClear = false
			if before.allows(a) {
				close(s.over)
				s.over = make(chan struct{})
			}
		case d.clear.isListed(a) && !before.isListed(a) && s.tls == 0:
			s.inClear = true
		}
	}
	if d.clear.isEmpty() && !before.isEmpty() {
		close(d.clear.over)
		d.clear.over = make(chan struct{})
		d.log.Info("the operator says that the other leg's media servers speak TLS: relay and forwarding in clear have ended")
	}
	if !d.clear.isEmpty() && before.isEmpty() {
		d.log.Warn("relay and forwarding are served in clear: the operator says that a media server of the other leg may be of a version that does not speak TLS",
			"servers", w.Clear, "any", w.Any)
	}
	d.mu.Unlock()
	d.cfg.OnChange()
}

// ClearPolicy returns the ClearPolicy in force. told is false before the first ClearPolicy.
func (d *Directory) ClearPolicy() (w ClearPolicy, told bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clear.policy, d.clear.told
}

// IsClearAllowed reports whether the other leg's servers are served in clear. over is closed when
// they no longer are.
func (d *Directory) IsClearAllowed() (allowed bool, over <-chan struct{}) {
	if d.base.Scheme == "http" {
		return true, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.clear.isEmpty(), d.clear.over
}

// Route returns how the server with this base URL, one of Bases, is reached now.
//
// If the ClearPolicy allows a server to be reached in clear, its routes over TLS and in clear are
// tried in turn: see Failed.
func (d *Directory) Route(base string) Route {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, s := d.serverOf(base); s != nil && s.inClear && d.cfg.ClearPort != 0 {
		return Route{Base: baseURL("http", a, d.cfg.ClearPort), Clear: true, over: s.over}
	}
	return Plain(base)
}

// Routes returns the routes to all servers.
func (d *Directory) Routes() []Route {
	var all []Route
	for _, base := range d.Bases() {
		all = append(all, d.Route(base))
	}
	return all
}

// serverOf returns the server with this base URL, one of Bases; nil: it is no longer known. d.mu
// must be held.
func (d *Directory) serverOf(base string) (netip.Addr, *server) {
	if i := slices.Index(d.bases, base); i >= 0 {
		return d.current[i], d.known[d.current[i]]
	}
	return netip.Addr{}, nil
}

// Failed notes that the server did not answer at that route, or refused. If the operator allows
// both TLS and clear, the other one is tried next, unless a connection to the server stands.
func (d *Directory) Failed(base string, r Route) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, s := d.serverOf(base)
	if s != nil && d.clear.allows(a) && s.inClear == r.Clear && s.tls+s.plain == 0 {
		s.inClear = !r.Clear
	}
}

// Joined notes that the server answers at that route. left must be called when that ends.
func (d *Directory) Joined(base string, r Route) (left func()) {
	d.mu.Lock()
	_, s := d.serverOf(base)
	if s == nil {
		d.mu.Unlock()
		return func() {}
	}
	count := &s.tls
	if r.Clear {
		count = &s.plain
	}
	*count++
	first := *count == 1
	d.mu.Unlock()
	if first {
		d.cfg.OnChange()
	}
	return func() {
		d.mu.Lock()
		*count--
		last := *count == 0
		d.mu.Unlock()
		if last {
			d.cfg.OnChange()
		}
	}
}

// A Link says how a media server of the other leg is connected.
type Link struct {
	Address netip.Addr
	// TLS and Clear report whether the server answers over TLS, and whether it answers in clear.
	TLS, Clear bool
}

// Links returns the links of all servers, sorted by address.
func (d *Directory) Links() []Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	links := make([]Link, 0, len(d.known))
	for _, a := range slices.SortedFunc(maps.Keys(d.known), netip.Addr.Compare) {
		s := d.known[a]
		links = append(links, Link{Address: a, TLS: s.tls > 0, Clear: s.plain > 0})
	}
	return links
}
