package peers

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// ErrRouteOver ends what went by a Route that must not be used any more.
var ErrRouteOver = errors.New("the peer is reached over TLS from now on")

// RefusedInClear is what a server is told that asks in clear and must not.
const RefusedInClear = "relay and forwarding are served over TLS alone, on the relay port (9092), to the other server of the pair; in clear nothing is"

// A Word is what the operator says of the other leg's media servers. Nothing but a Word
// makes a server send anything in clear, and a server that has heard none speaks TLS alone.
type Word struct {
	// Clear are the addresses of those that do not speak TLS.
	Clear []netip.Addr
	// Any says that each of them may be one that does not: the operator is of a version
	// that cannot tell.
	Any bool
}

// A Route is how a media server of the other leg is reached at the moment.
type Route struct {
	// Base is its base URL, without a slash at the end.
	Base string
	// Clear says that everybody on the way can read what is sent, and that nobody knows who
	// answers.
	Clear bool
	// over is closed when the route must not be used any more; nil: never.
	over <-chan struct{}
}

// Plain is the route to a base URL and no other.
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

// A server is one of the other leg's. Directory.mu guards it.
type server struct {
	absent int // how many answers in a row lacked it; below zero: see Meet
	// inClear says that it is reached in clear, which holds as long as that is allowed.
	inClear bool
	over    chan struct{} // closed and replaced when it must not be reached in clear any more
	tls     int           // connections that the server answers, over TLS
	plain   int           // and in clear
}

// A clearance is what a Word allows. Directory.mu guards it.
type clearance struct {
	told bool
	word Word
	over chan struct{} // closed when no server may be spoken to in clear any more
}

func newClearance() clearance { return clearance{over: make(chan struct{})} }

// named reports whether the operator has said of the address that its server does not speak
// TLS.
func (c clearance) named(a netip.Addr) bool { return slices.Contains(c.word.Clear, a) }

// allows reports whether the server with that address may be spoken to in clear.
func (c clearance) allows(a netip.Addr) bool { return c.word.Any || c.named(a) }

// isEmpty reports whether no server may be.
func (c clearance) isEmpty() bool { return !c.word.Any && len(c.word.Clear) == 0 }

// Tell puts a Word in force, in the place of the one before. Connections in clear that it
// does not allow end.
func (d *Directory) Tell(w Word) {
	w.Clear = slices.Clone(w.Clear)
	for i, a := range w.Clear {
		w.Clear[i] = a.Unmap()
	}
	d.mu.Lock()
	before := d.clear
	d.clear.told, d.clear.word = true, w
	for a, s := range d.known {
		switch {
		case !d.clear.allows(a):
			s.inClear = false
			if before.allows(a) {
				close(s.over)
				s.over = make(chan struct{})
			}
		case d.clear.named(a) && !before.named(a) && s.tls == 0:
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

// Word returns the Word in force; told is false before the first.
func (d *Directory) Word() (w Word, told bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clear.word, d.clear.told
}

// IsClearAllowed reports whether the other leg's servers are served in clear, and until when.
func (d *Directory) IsClearAllowed() (allowed bool, over <-chan struct{}) {
	if d.base.Scheme == "http" {
		return true, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.clear.isEmpty(), d.clear.over
}

// Route is how the server of Bases with that base URL is reached now.
//
// A server that may be of a version without TLS is tried by turns: see Failed.
func (d *Directory) Route(base string) Route {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, s := d.serverOf(base); s != nil && s.inClear && d.cfg.ClearPort != 0 {
		return Route{Base: baseURL("http", a, d.cfg.ClearPort), Clear: true, over: s.over}
	}
	return Plain(base)
}

// Routes are the routes to all servers.
func (d *Directory) Routes() []Route {
	var all []Route
	for _, base := range d.Bases() {
		all = append(all, d.Route(base))
	}
	return all
}

// serverOf is the server of Bases with that base URL; nil: it is known no longer. d.mu is
// held.
func (d *Directory) serverOf(base string) (netip.Addr, *server) {
	if i := slices.Index(d.bases, base); i >= 0 {
		return d.current[i], d.known[d.current[i]]
	}
	return netip.Addr{}, nil
}

// Failed says that nobody answered at that route to the server, or refused it. Where the
// operator allows both ways, the other one is tried next, unless the server answers by this
// one elsewhere.
func (d *Directory) Failed(base string, r Route) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, s := d.serverOf(base)
	if s != nil && d.clear.allows(a) && s.inClear == r.Clear && s.tls+s.plain == 0 {
		s.inClear = !r.Clear
	}
}

// Joined says that the server answers at that route. left must be called when that ends.
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

// A Link is how a media server of the other leg is connected.
type Link struct {
	Address netip.Addr
	// TLS and Clear say that it answers over TLS, and in clear.
	TLS, Clear bool
}

// Links are those of all servers, by address.
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
