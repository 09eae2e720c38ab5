package rtmp

import (
	"sync"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
)

// guests are the server's connections. A connection that publishes keeps its place. One that
// does not publish yet may lose its place to another: strangers who open connections and do
// nothing push out their own, and an encoder, which takes a few round trips to publish, gets in.
//
// A client that is refused is given a moment to read why. It holds no place meanwhile, or
// strangers who are refused fast enough could take all places. Such clients are lingering, and
// have a few places of their own.
type guests struct {
	door, lingering *admission.Door

	mu          sync.Mutex // guards the next two, and each connection's lingers
	connections map[*connection]struct{}
	closed      bool
}

func newGuests(l Limits, m *metrics.Metrics) *guests {
	return &guests{
		door: admission.NewDoor(admission.DoorConfig{
			Name: "rtmp", Metrics: m, Limits: admission.Limits{Max: l.MaxConnections, MaxWaiting: l.MaxUnauthenticated},
		}),
		lingering: admission.NewDoor(admission.DoorConfig{
			Name: "rtmp_lingering", Metrics: m, Limits: admission.Limits{Max: l.MaxLingering},
		}),
		connections: make(map[*connection]struct{}),
	}
}

// enter admits c, if there is room.
func (g *guests) enter(c *connection) bool {
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.connections[c] = struct{}{}
	}
	g.mu.Unlock()
	if closed {
		return false
	}
	place, err := g.door.Enter(c.network(), func() {
		c.stop(refuse(ReasonPushedOut, "too many connections that do not publish"))
		g.linger(c)
	})
	if err != nil {
		g.forget(c)
		return false
	}
	c.place = place
	return true
}

// publishing says that c keeps its place, and waiting that it publishes no more.
func (g *guests) publishing(c *connection) { c.place.Hold() }

func (g *guests) waiting(c *connection) { c.place.Release() }

// leaving says that c is on its way out: it gives its place back. If it lingers, it takes one
// of the places for that.
func (g *guests) leaving(c *connection, lingers bool) {
	c.place.Leave()
	if lingers {
		g.linger(c)
	}
}

// linger gives c one of the places of those who linger. Another, of the address with the most
// of them, may have to go without having read why.
func (g *guests) linger(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, here := g.connections[c]; !here || c.lingers != nil {
		return
	}
	place, err := g.lingering.Enter(c.network(), func() { closeNow(c.conn) })
	if err != nil {
		closeNow(c.conn)
		return
	}
	c.lingers = place
}

// left says that c is closed.
func (g *guests) left(c *connection) {
	g.forget(c)
	c.place.Leave()
}

func (g *guests) forget(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.connections, c)
	if c.lingers != nil {
		c.lingers.Leave()
	}
}

// close admits nobody any more and returns who is there.
func (g *guests) close() []*connection {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	out := make([]*connection, 0, len(g.connections))
	for c := range g.connections {
		out = append(out, c)
	}
	return out
}
