package rtmp

import (
	"sync"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
)

// connections are the server's connections. A connection that publishes keeps its place. One that
// does not publish yet may lose its place to another. So strangers who open connections and do
// nothing push out their own. An encoder, which publishes after a few round trips, gets in.
//
// A refused client gets a moment to read why: its connection lingers. A lingering connection gives
// its place back and takes one of a few lingering places. Otherwise clients that are refused fast
// enough could take all places.
type connections struct {
	door, lingering *admission.Door

	mu     sync.Mutex // guards connections, closed, and each connection's lingeringPlace
	open   map[*connection]struct{}
	closed bool
}

func newConnections(l Limits, m *metrics.Metrics) *connections {
	return &connections{
		door: admission.NewDoor(admission.DoorConfig{
			Name: "rtmp", Metrics: m, Limits: admission.Limits{Max: l.MaxConnections, MaxWaiting: l.MaxUnauthenticated},
		}),
		lingering: admission.NewDoor(admission.DoorConfig{
			Name: "rtmp_lingering", Metrics: m, Limits: admission.Limits{Max: l.MaxLingering},
		}),
		open: make(map[*connection]struct{}),
	}
}

// enter admits c, if there is room.
func (g *connections) enter(c *connection) bool {
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.open[c] = struct{}{}
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

// holdPlace makes c keep its place. releaseHold undoes this when c no longer publishes.
func (g *connections) holdPlace(c *connection) { c.place.Hold() }

func (g *connections) releaseHold(c *connection) { c.place.Release() }

// releasePlace gives back the place of a connection that is about to close. If c lingers,
// it takes a lingering place.
func (g *connections) releasePlace(c *connection, lingers bool) {
	c.place.Leave()
	if lingers {
		g.linger(c)
	}
}

// linger gives c a lingering place. If there is none free, the network with the most
// lingering connections loses one, which is closed at once.
func (g *connections) linger(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, here := g.open[c]; !here || c.lingeringPlace != nil {
		return
	}
	place, err := g.lingering.Enter(c.network(), func() { closeNow(c.conn) })
	if err != nil {
		closeNow(c.conn)
		return
	}
	c.lingeringPlace = place
}

// remove records that c is closed.
func (g *connections) remove(c *connection) {
	g.forget(c)
	c.place.Leave()
}

func (g *connections) forget(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
	if c.lingeringPlace != nil {
		c.lingeringPlace.Leave()
	}
}

// close refuses all further connections and returns the present ones.
func (g *connections) close() []*connection {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	out := make([]*connection, 0, len(g.open))
	for c := range g.open {
		out = append(out, c)
	}
	return out
}
