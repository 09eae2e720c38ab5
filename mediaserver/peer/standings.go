package peer

import (
	"maps"
	"slices"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/recovery"
)

// A pairStandings has how a pair stands at each peer that can be heard. The pair listens to one of the
// peers at a time.
type pairStandings struct {
	pair *failover.Pair

	mu    recovery.Mutex // guards heard; taken before the pair's lock
	heard map[string]*failover.Standing
}

func newPairStandings(p *failover.Pair) *pairStandings {
	return &pairStandings{pair: p, heard: make(map[string]*failover.Standing)}
}

// set notes the standing at the peer with that base URL; nil: the peer cannot be heard.
func (c *pairStandings) set(base string, there *failover.Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if there == nil {
		delete(c.heard, base)
	} else {
		c.heard[base] = there
	}
	c.pair.SetPeer(leading(c.heard))
}

// all returns the standings at all peers that can be heard.
func (c *pairStandings) all() []failover.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []failover.Standing
	for _, base := range slices.Sorted(maps.Keys(c.heard)) {
		all = append(all, *c.heard[base])
	}
	return all
}

// leading returns the standing that the pair is to agree with; nil: there is none. It prefers a
// peer that is on air: a peer with nothing on air has nothing to agree on. Next it prefers a peer
// that is not leaving, then a peer that has both legs. Of equal peers it takes the first by base
// URL.
func leading(heard map[string]*failover.Standing) *failover.Standing {
	var best *failover.Standing
	worth := func(s *failover.Standing) int {
		n := 0
		if s.OnAir {
			n += 4
		}
		if !s.Leaving {
			n += 2
		}
		if s.Settled {
			n++
		}
		return n
	}
	for _, base := range slices.Sorted(maps.Keys(heard)) {
		if s := heard[base]; best == nil || worth(s) > worth(best) {
			best = s
		}
	}
	return best
}
