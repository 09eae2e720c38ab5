package relay

import (
	"maps"
	"slices"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/recovery"
)

// A chorus is how a pair stands at each of the peers that can be heard. The pair listens to
// one of them at a time.
type chorus struct {
	pair *failover.Pair

	mu    recovery.Mutex // guards heard; the pair's is taken after it
	heard map[string]*failover.Standing
}

func newChorus(p *failover.Pair) *chorus {
	return &chorus{pair: p, heard: make(map[string]*failover.Standing)}
}

// hear takes what the peer with that base URL says; nil: it cannot be heard.
func (c *chorus) hear(base string, there *failover.Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if there == nil {
		delete(c.heard, base)
	} else {
		c.heard[base] = there
	}
	c.pair.SetPeer(leading(c.heard))
}

// all returns all that is heard.
func (c *chorus) all() []failover.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []failover.Standing
	for _, base := range slices.Sorted(maps.Keys(c.heard)) {
		all = append(all, *c.heard[base])
	}
	return all
}

// leading is the one to agree with, by base URL: one that is on air, for one that is not
// knows of nothing to agree on; that will still be there in a moment; and that has both
// legs. nil: there is none.
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
