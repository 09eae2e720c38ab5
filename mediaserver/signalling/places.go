package whep

import (
	"net/netip"
	"time"
)

const (
	// Of the places, a quarter but at least minConnecting are for sessions that have
	// not connected; connectingUnlimited, where the number of viewers is not limited.
	minConnecting       = 64
	connectingUnlimited = 1024

	// connectGrace is how long a session keeps its place although more than that are
	// connecting: when a server comes back, all its viewers connect at once, and one
	// that is half way must not make room for one that has just begun.
	connectGrace = 2 * time.Second
)

// places are the viewers' places. One POST takes one, and strangers who POST and never
// connect could take them all: so those who have not connected may lose theirs. It is
// no safer for use by several goroutines than a map.
type places struct {
	max, maxConnecting int // max 0: no limit

	taken      map[*session]struct{}
	connecting map[*session]struct{} // of those taken
	leaving    map[*session]struct{} // lost their place, and are not gone yet
}

func newPlaces(limit int) *places {
	p := &places{
		max: limit, maxConnecting: max(minConnecting, limit/4),
		taken:      make(map[*session]struct{}),
		connecting: make(map[*session]struct{}),
		leaving:    make(map[*session]struct{}),
	}
	if limit == 0 {
		p.maxConnecting = connectingUnlimited
	}
	return p
}

func (p *places) count() int { return len(p.taken) }

// take gives s a place, if there is one. If another session lost its own for that, it is
// out, and must be ended; it leaves like all others.
func (p *places) take(s *session) (out *session, ok bool) {
	full := p.max > 0 && len(p.taken) >= p.max
	if full || len(p.connecting) >= p.maxConnecting {
		out = p.oldestOfBusiest(s.host)
		if !full && s.since.Sub(out.since) < connectGrace {
			out = nil
		}
		// Those who are leaving hold memory still: when POSTs come faster than
		// sessions end, they have to wait.
		if full && out == nil || out != nil && len(p.leaving) >= p.maxConnecting {
			return nil, false
		}
	}
	if out != nil {
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
// push out their own first. It is nil if all have connected.
func (p *places) oldestOfBusiest(newcomer string) *session {
	byHost := map[string]int{newcomer: 1}
	for s := range p.connecting {
		byHost[s.host]++
	}
	var out *session
	for s := range p.connecting {
		if out == nil || byHost[s.host] > byHost[out.host] ||
			byHost[s.host] == byHost[out.host] && s.since.Before(out.since) {
			out = s
		}
	}
	return out
}

// connected says that s has connected: it keeps its place.
func (p *places) connected(s *session) { delete(p.connecting, s) }

// leave says that s is gone.
func (p *places) leave(s *session) {
	delete(p.taken, s)
	delete(p.connecting, s)
	delete(p.leaving, s)
}

// hostOf is whom an address counts for: an IPv6 host has a whole /64 to POST from.
func hostOf(remote string) string {
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
