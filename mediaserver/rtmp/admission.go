package rtmp

import (
	"net"
	"sync"
	"time"
)

// admission limits how many connections there are, and how many of them may take their
// time before they publish.
type admission struct {
	limits Limits

	mu          sync.Mutex // guards all below
	connections map[*connection]struct{}
	newcomers   map[*connection]time.Time // not publishing, since when
	closed      bool
}

func newAdmission(l Limits) *admission {
	return &admission{
		limits:      l,
		connections: make(map[*connection]struct{}),
		newcomers:   make(map[*connection]time.Time),
	}
}

// enter admits c, if there is room.
func (a *admission) enter(c *connection) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.connections) >= a.limits.MaxConnections {
		return false
	}
	a.connections[c] = struct{}{}
	a.wait(c)
	return true
}

// waiting says that c, which published, does so no more.
func (a *admission) waiting(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wait(c)
}

// wait makes c a newcomer, and pushes one out if there are too many: the oldest of the
// address with the most. So strangers who open connections and do nothing push out
// their own first, and an encoder, which takes a few round trips to publish, gets in.
// a.mu is held.
func (a *admission) wait(c *connection) {
	if len(a.newcomers) >= a.limits.MaxUnauthenticated {
		if out := a.oldestOfBusiest(); out != nil {
			delete(a.newcomers, out)
			out.stop(refuse(ReasonPushedOut, "too many connections that do not publish"))
		}
	}
	a.newcomers[c] = time.Now()
}

func (a *admission) oldestOfBusiest() *connection {
	byHost := make(map[string]int)
	busiest := 0
	for c := range a.newcomers {
		host := hostOf(c)
		byHost[host]++
		busiest = max(busiest, byHost[host])
	}
	var oldest *connection
	for c, since := range a.newcomers {
		if byHost[hostOf(c)] == busiest && (oldest == nil || since.Before(a.newcomers[oldest])) {
			oldest = c
		}
	}
	return oldest
}

func hostOf(c *connection) string {
	host, _, err := net.SplitHostPort(c.remote)
	if err != nil {
		return c.remote
	}
	return host
}

// publishing says that c is a newcomer no more.
func (a *admission) publishing(c *connection) { a.leaving(c) }

// leaving says that c is on its way out: it holds no newcomer's place.
func (a *admission) leaving(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.newcomers, c)
}

// left says that c is closed.
func (a *admission) left(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.newcomers, c)
	delete(a.connections, c)
}

// close admits nobody any more and returns who is there.
func (a *admission) close() []*connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	out := make([]*connection, 0, len(a.connections))
	for c := range a.connections {
		out = append(out, c)
	}
	return out
}
