package signalling

import (
	"net/netip"
	"time"
)

// connectGrace is how long a session keeps its place although too many are connecting:
// when a server comes back, all its clients connect at once, and one that is half way
// must not make room for one that has just begun.
const connectGrace = 2 * time.Second

// A Guest is a session that wants a place.
type Guest interface {
	comparable
	// Host is whom its place counts for, see HostOf; Since is when it asked for one.
	Host() string
	Since() time.Time
}

// Places are the places of a server's sessions. One POST takes one, and strangers who
// POST and never connect could take them all: so those who have not connected may lose
// theirs. It is no safer for use by several goroutines than a map.
type Places[G Guest] struct {
	max, maxConnecting int // max 0: no limit

	taken      map[G]struct{}
	connecting map[G]struct{} // of those taken
	leaving    map[G]struct{} // lost their place, and are not gone yet
}

// NewPlaces returns places for at most limit sessions, 0: any number, of which
// maxConnecting may not have connected.
func NewPlaces[G Guest](limit, maxConnecting int) *Places[G] {
	return &Places[G]{
		max: limit, maxConnecting: maxConnecting,
		taken: make(map[G]struct{}), connecting: make(map[G]struct{}), leaving: make(map[G]struct{}),
	}
}

// Count is the number of places taken.
func (p *Places[G]) Count() int { return len(p.taken) }

// Connecting is the number of sessions with a place that have not connected.
func (p *Places[G]) Connecting() int { return len(p.connecting) }

// Take gives s a place, if there is one. If another session lost its own for that, it is
// out, and must be ended; it leaves like all others.
func (p *Places[G]) Take(s G) (out G, ok bool) {
	full := p.max > 0 && len(p.taken) >= p.max
	var nobody G
	if full || len(p.connecting) >= p.maxConnecting {
		out = p.oldestOfBusiest(s.Host())
		if !full && s.Since().Sub(out.Since()) < connectGrace {
			out = nobody
		}
		// Those who are leaving hold memory still: when POSTs come faster than
		// sessions end, they have to wait.
		if full && out == nobody || out != nobody && len(p.leaving) >= p.maxConnecting {
			return nobody, false
		}
	}
	if out != nobody {
		delete(p.taken, out)
		delete(p.connecting, out)
		p.leaving[out] = struct{}{}
	}
	p.taken[s] = struct{}{}
	p.connecting[s] = struct{}{}
	return out, true
}

// oldestOfBusiest returns the session that is connecting for the longest time, of the
// host with the most of them; newcomer is the host that wants one more. So strangers
// push out their own first. It is the zero G if all have connected.
func (p *Places[G]) oldestOfBusiest(newcomer string) G {
	byHost := map[string]int{newcomer: 1}
	for s := range p.connecting {
		byHost[s.Host()]++
	}
	var out, nobody G
	for s := range p.connecting {
		if out == nobody || byHost[s.Host()] > byHost[out.Host()] ||
			byHost[s.Host()] == byHost[out.Host()] && s.Since().Before(out.Since()) {
			out = s
		}
	}
	return out
}

// Connected says that s has connected: it keeps its place.
func (p *Places[G]) Connected(s G) { delete(p.connecting, s) }

// Leave says that s is gone.
func (p *Places[G]) Leave(s G) {
	delete(p.taken, s)
	delete(p.connecting, s)
	delete(p.leaving, s)
}

// HostOf is whom an address counts for: an IPv6 host has a whole /64 to POST from.
func HostOf(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	host := address.Addr().Unmap()
	if host.Is6() {
		if network, err := host.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return host.String()
}
