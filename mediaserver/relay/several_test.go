package relay

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// moving is a set of peers that changes.
type moving struct {
	mu      sync.Mutex // guards all below
	bases   []string
	changed chan struct{}
}

func newMoving(bases ...string) *moving {
	return &moving{bases: bases, changed: make(chan struct{})}
}

func (m *moving) Bases() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bases
}

func (m *moving) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (*moving) Route(base string) peer.Route            { return peer.Plain(base) }
func (*moving) Failed(string, peer.Route)               {}
func (*moving) Joined(string, peer.Route) (left func()) { return func() {} }

func (m *moving) to(bases ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bases = bases
	close(m.changed)
	m.changed = make(chan struct{})
}

func (n *node) followAll(all peer.Peers) *peer.Client {
	return n.follow("", func(c *peer.ClientConfig) { c.Peers = all })
}

// together lets several encoders send for some time, or until cond holds.
func together(t *testing.T, what string, atMost time.Duration, cond func() bool, encoders ...*encoder) time.Duration {
	t.Helper()
	began := time.Now()
	for ; time.Since(began) < atMost; time.Sleep(2 * ms) {
		for _, e := range encoders {
			e.tick()
		}
		if cond != nil && cond() {
			return time.Since(began)
		}
	}
	if cond != nil {
		t.Fatalf("no %s within %v", what, atMost)
	}
	return atMost
}

// isLate reports whether the stream's newest picture came here more than 300 ms ago.
func (n *node) isLate(k stream.Key) bool {
	snap := n.snapshot(k)
	return snap.Publication == nil || n.registry.Now()-snap.Video.LastArrival > 300*ms
}

// widths returns the widths of the pictures that came.
func widths(units []*stream.AccessUnit) []int {
	var all []int
	for _, u := range units {
		if u.Kind == stream.Video {
			all = append(all, u.Format.Width)
		}
	}
	return slices.Compact(all)
}

// The old server of the leg ends, its replacement is there, and the encoder moves. The encoder is
// at both servers for a while: it has forgotten its first connection, but that connection is still
// open.
func TestTheStreamFollowsItsEncoderFromServerToServer(t *testing.T) {
	t.Parallel()
	old, next, here := newNode(t), newNode(t), newNode(t)
	here.followAll(newMoving(old.web.URL, next.web.URL))
	got := here.registry.Stream(primaryKey).Subscribe(1 << 14)
	defer got.Close()
	first := &encoder{t: t, node: old, key: primaryKey, sps: sps240, format: aac48}
	first.start()
	first.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	first.play(700 * ms)

	second := &encoder{t: t, node: next, key: primaryKey, sps: sps360, format: aac48, zero: time.Hour}
	second.start()
	both := func() bool { return here.snapshot(primaryKey).Publication.Remote == next.web.URL }
	took := together(t, "move", patience, both, first, second)
	t.Logf("the stream moved after %v", took)
	together(t, "", 2500*ms, nil, first, second) // the relay must not go back while both are there
	units := drain(got)
	if diff := cmp.Diff([]int{320, 640}, widths(units)); diff != "" {
		t.Errorf("the pictures' widths (-want +got):\n%s", diff)
	}
	var last time.Duration
	for _, u := range units {
		if u.Kind != stream.Video {
			continue
		}
		if gap := u.Arrival - last; last != 0 && gap > 300*ms {
			t.Errorf("no picture for %v", gap)
		}
		last = u.Arrival
	}
	id := here.snapshot(primaryKey).Publication.ID
	first.pub.End(stream.EndClosed)
	together(t, "", 500*ms, nil, second)
	if p := here.snapshot(primaryKey).Publication; p == nil || p.ID != id {
		t.Errorf("the end of the forgotten connection changed something: %+v", p)
	}

	// And back: the server that got the encoder last counts.
	first.start()
	took = together(t, "move back", patience, func() bool { return here.snapshot(primaryKey).Publication.Remote == old.web.URL }, first, second)
	t.Logf("the stream moved back after %v", took)
	// The later server hangs. The other one is still there.
	hung := time.Now()
	took = together(t, "return", patience, func() bool {
		p := here.snapshot(primaryKey).Publication
		return p != nil && p.Remote == next.web.URL && !here.isLate(primaryKey)
	}, second)
	t.Logf("the stream came from the other server %v after its publisher had hung", time.Since(hung))
	if took > 4*time.Second {
		t.Error("that is too long")
	}
	id = here.snapshot(primaryKey).Publication.ID
	together(t, "", 2500*ms, nil, second) // the cache of the server that hangs is no reason to return to it
	if p := here.snapshot(primaryKey).Publication; p == nil || p.ID != id {
		t.Errorf("the publisher that hangs changed something: %+v", p)
	}
	took = together(t, "move", patience, func() bool { return here.snapshot(primaryKey).Publication.Remote == old.web.URL }, first, second)
	t.Logf("the stream moved to it %v after it was heard again", took)
}

func TestAForgottenConnectionIsNoPublisher(t *testing.T) {
	t.Parallel()
	old, next, here := newNode(t), newNode(t), newNode(t)
	peers := newMoving(next.web.URL)
	first := &encoder{t: t, node: old, key: primaryKey, sps: sps240, format: aac48}
	first.start()
	first.play(500 * ms)
	time.Sleep(ms)
	second := &encoder{t: t, node: next, key: primaryKey, sps: sps360, format: aac48}
	second.start()
	here.followAll(peers)
	second.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	peers.to(old.web.URL, next.web.URL) // where the encoder was before
	id := here.snapshot(primaryKey).Publication.ID
	second.play(1500 * ms)
	if p := here.snapshot(primaryKey).Publication; p.ID != id {
		t.Errorf("it was replaced: %+v", p)
	}
}

func TestAServerWithTwoAddressesIsOnePublisher(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	gate, through := newGate(t, there.web.URL)
	here.followAll(newMoving(there.web.URL, through))
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint && gate.Opened() >= 3 })
	first := here.snapshot(primaryKey).Publication
	e.play(1500 * ms)
	if p := here.snapshot(primaryKey).Publication; p.ID != first.ID {
		t.Errorf("the one way took over from the other: %+v", p)
	}
	// One of the two routes is cut, whichever was in use.
	gate.Close()
	there.web.CloseClientConnections()
	e.playUntil("picture", func() bool { return !here.isLate(primaryKey) && here.snapshot(primaryKey).EntryPoint })
}

func TestADeadAddressDelaysNoOther(t *testing.T) {
	t.Parallel()
	dead, live, here := newNode(t), newNode(t), newNode(t)
	gate, through := newGate(t, dead.web.URL)
	gate.Blackhole(true)
	peers := newMoving(through, live.web.URL)
	live.pair = live.sharedPair().Pair
	here.pair = here.sharedPair().Pair
	e := &encoder{t: t, node: live, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	began := time.Now()
	c := here.followAll(peers)
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	picture := time.Since(began)
	e.playUntil("standing", func() bool { return len(c.Standings(here.pair)) == 1 })
	t.Logf("picture after %v, standing after %v", picture, time.Since(began))
	if time.Since(began) > 2*time.Second {
		t.Error("that is too long")
	}
	e.play(silence + 500*ms)
	if n := here.snapshot(primaryKey).Publication; here.isLate(primaryKey) || n.Remote != live.web.URL {
		t.Error("it did not go on")
	}

	peers.to(live.web.URL)
	e.play(500 * ms)
	opened := gate.Opened()
	e.play(3 * time.Second)
	if n := gate.Opened() - opened; n > 0 {
		t.Errorf("%d connections to an address that is gone", n)
	}
}

func TestConnectionsToAnAddressThatVanishesEnd(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	peers := newMoving(there.web.URL)
	there.pair = there.sharedPair().Pair
	here.pair = here.sharedPair().Pair
	c := here.followAll(peers)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture and standing", func() bool {
		return here.snapshot(primaryKey).EntryPoint && len(c.Standings(here.pair)) == 1
	})
	peers.to()
	e.playUntil("end", func() bool { return !here.publishing(primaryKey) && len(c.Standings(here.pair)) == 0 })
	e.playUntil("end of the connections", func() bool { return there.connections() == 0 })
	if _, heard, _ := here.pair.Standing(); heard != nil {
		t.Errorf("the pair still listens to %+v", heard)
	}
	peers.to(there.web.URL)
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
}

func TestAPeerThatEndsSaysSo(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	there.pair = there.sharedPair().Pair
	here.pair = here.sharedPair().Pair
	c := here.follow(there.web.URL)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture and standing", func() bool {
		return here.snapshot(primaryKey).EntryPoint && len(c.Standings(here.pair)) == 1
	})
	if here.snapshot(primaryKey).Leaving || c.Standings(here.pair)[0].Leaving {
		t.Fatal("it is said to end")
	}
	there.registry.Drain()
	there.handler.Drain()
	there.standings.Drain()
	took := e.playUntil("word of the end", func() bool {
		return here.snapshot(primaryKey).Leaving && c.Standings(here.pair)[0].Leaving
	})
	t.Logf("it was known after %v", took)
	if took > time.Second {
		t.Error("that is too long")
	}
	// A peer that connects later is told too.
	late := newNode(t)
	late.follow(there.web.URL)
	e.playUntil("word of the end", func() bool { return late.snapshot(primaryKey).Leaving })
}
