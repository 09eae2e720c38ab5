package admission

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// host returns an address for a test: host("a") and so on.
func host(name string) netip.Prefix {
	return NetworkOf(netip.AddrFrom4([4]byte{10, 0, 0, name[0]}))
}

// check returns an error if the ledger contradicts itself.
func (l *ledger) check() error {
	taken, wait := 0, 0
	for prefix, n := range l.networks {
		total := 0
		for c, clients := range n.clients {
			count := 0
			for p := clients.head; p != nil; p = p.next {
				if p.network != n || p.class != class(c) || p.state != present || p.next != nil && p.next.since.Before(p.since) {
					return fmt.Errorf("client %+v of %v", p, prefix)
				}
				count++
			}
			if count != n.count[c] {
				return fmt.Errorf("%v has %d clients of class %d, and counts %d", prefix, count, c, n.count[c])
			}
			total += count
		}
		if total != n.total || total == 0 {
			return fmt.Errorf("%v has %d clients, and counts %d", prefix, total, n.total)
		}
		taken += total
		wait += n.count[waiting]
	}
	if taken != l.taken || wait != l.waiting {
		return fmt.Errorf("%d clients, %d of them wait: counted %d and %d", taken, wait, l.taken, l.waiting)
	}
	for _, r := range []*ranking{&l.byWaiting, &l.byAny} {
		for i, n := range r.networks {
			if n.rank[r.which] != i || r.isBefore(n, 0, r.networks[0], 0) {
				return fmt.Errorf("ranking %d is out of order at %d", r.which, i)
			}
		}
	}
	return nil
}

func TestWhoGoes(t *testing.T) {
	type client struct {
		host  string
		age   time.Duration // time until the newcomer comes
		class class
	}
	crowd := func(n int, g client) []client {
		clients := make([]client, n)
		for i := range clients {
			clients[i] = g
			clients[i].age += time.Duration(n-i) * time.Millisecond
		}
		return clients
	}
	const young, old = 500 * time.Millisecond, 5 * time.Second
	places := func(n int) Limits { return Limits{Max: n} }
	connecting := func(maximum, n int) Limits { return Limits{Max: maximum, MaxWaiting: n, Grace: 2 * time.Second} }
	for _, test := range []struct {
		name     string
		limits   Limits
		clients  []client
		newcomer string
		want     int // index of the client that goes; -1: none goes; -2: the newcomer is refused
	}{
		{"there is room", connecting(3, 64), []client{{"a", young, waiting}, {"b", old, holding}}, "c", -1},
		{"full of media: refused", places(2), []client{{"a", old, holding}, {"b", young, holding}}, "c", -2},
		{"full: one without media goes, however young", connecting(2, 64), []client{{"a", old, holding}, {"b", young, waiting}}, "c", 1},
		{"full: the oldest goes", places(2), []client{{"a", young, waiting}, {"b", old, waiting}}, "c", 1},
		{"full: the oldest of the busiest address goes", places(4), []client{{"a", old, waiting}, {"b", young, waiting}, {"b", young + 1, waiting}, {"c", young, holding}}, "c", 2},
		{"clients with media do not make an address busy", places(4), []client{{"a", old, holding}, {"a", old, holding}, {"a", young, waiting}, {"b", old, waiting}}, "c", 3},
		{"one more from an address pushes out its own", places(2), []client{{"a", old, waiting}, {"b", young, waiting}}, "b", 1},
		{"a client that waits goes before one that is served", places(2), []client{{"a", old, active}, {"a", young, waiting}}, "c", 1},
		{"of equals too", places(2), []client{{"a", old, active}, {"b", young, waiting}}, "c", 1},
		{"but of the busiest address one that is served goes", places(3), []client{{"a", old, active}, {"a", young, active}, {"b", old, waiting}}, "c", 0},
		{"one that is served does not go for its own address", places(2), []client{{"a", old, active}, {"b", young, holding}}, "a", -2},
		{"nor for one that has as many", places(5), []client{{"a", old, active}, {"a", old, active}, {"b", young, active}, {"b", young, holding}, {"c", young, holding}}, "b", -2},
		{"too many wait: one that had its time goes", connecting(100, 64), crowd(64, client{"a", old, waiting}), "b", 0},
		{"too many wait, but have just begun: all stay", connecting(100, 64), crowd(64, client{"a", young, waiting}), "b", -1},
		{"some may wait", connecting(1000, 250), crowd(249, client{"a", old, waiting}), "b", -1},
		{"and no more", connecting(1000, 250), crowd(250, client{"a", old, waiting}), "b", 0},
		{"those who are served do not wait", connecting(1000, 250), crowd(250, client{"a", old, active}), "b", -1},
		{"no limit: many may wait", connecting(0, 1024), crowd(1023, client{"a", old, waiting}), "b", -1},
		{"no limit: but not for ever", connecting(0, 1024), crowd(1024, client{"a", old, waiting}), "b", 0},
		{"no more than its share for an address", Limits{Max: 64, MaxPerNetwork: 2}, []client{{"a", old, active}, {"a", young, active}, {"b", old, waiting}}, "a", 0},
		{"a share of media: refused", Limits{Max: 64, MaxPerNetwork: 1}, []client{{"a", old, holding}}, "a", -2},
		{"another address has a share of its own", Limits{Max: 64, MaxPerNetwork: 1}, []client{{"a", old, holding}}, "b", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now()
			l := newLedger(Limits{})
			index := map[*Place]int{nil: -1}
			for i, g := range test.clients {
				p := &Place{}
				index[p] = i
				l.insert(p, host(g.host), now.Add(-g.age))
				l.become(p, g.class, now.Add(-g.age))
			}
			l.limits = test.limits
			out, refused := l.enter(&Place{}, host(test.newcomer), now)
			got := index[out]
			if refused != letIn {
				got = -2
			}
			if got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
			if err := l.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlacesAreNotHandedOnFasterThanClientsLeave(t *testing.T) {
	l := newLedger(Limits{Max: 2, MaxLeaving: 64})
	var pushedOut []*Place
	for i := range 2 + 64 {
		out, refused := l.enter(&Place{}, host("a"), time.Unix(int64(i), 0))
		if refused != letIn || (out != nil) != (i >= 2) {
			t.Fatalf("client %d: refused %q, pushed out %v", i, refused, out)
		}
		if out != nil {
			pushedOut = append(pushedOut, out)
		}
	}
	if _, refused := l.enter(&Place{}, host("b"), time.Unix(100, 0)); refused != ReasonLeaving {
		t.Errorf("let in while too many are leaving: %q", refused)
	}
	l.leave(pushedOut[0])
	if _, refused := l.enter(&Place{}, host("b"), time.Unix(100, 0)); refused != letIn {
		t.Errorf("refused although one has left: %q", refused)
	}
}

// Properties that hold whatever comes, in whatever order.
func TestAdmissionIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := []string{"a", "b", "c", "d", "e", "f"}
		l := newLedger(Limits{
			Max: rapid.IntRange(1, 12).Draw(t, "max"), MaxWaiting: rapid.IntRange(0, 8).Draw(t, "waiting"),
			Grace:         time.Duration(rapid.IntRange(0, 5).Draw(t, "grace")) * time.Second,
			MaxPerNetwork: rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "share"),
		})
		now := time.Unix(0, 0)
		var clients []*Place
		draw := func() *Place {
			if len(clients) == 0 {
				t.Skip("nobody is there")
			}
			return clients[rapid.IntRange(0, len(clients)-1).Draw(t, "client")]
		}
		enter := func(t *rapid.T) {
			from := host(rapid.SampledFrom(hosts).Draw(t, "host"))
			own, movable, taken := 0, 0, l.taken
			perHost := map[netip.Prefix]int{}
			for _, p := range l.all() {
				perHost[p.network.prefix]++
				if p.class != holding {
					movable++
				}
			}
			own = perHost[from]
			p := &Place{}
			out, refused := l.enter(p, from, now)
			if out != nil && out.class == holding {
				t.Fatal("a client with media was ended")
			}
			if l.taken > l.limits.Max {
				t.Fatalf("%d places of %d are taken", l.taken, l.limits.Max)
			}
			ownShare := l.limits.MaxPerNetwork
			switch {
			case ownShare > 0 && refused == letIn && l.networks[from].total > max(ownShare, own): // more may have moved
				t.Fatal("an address has more than its share")
			case refused == letIn && taken < l.limits.Max && l.limits.MaxWaiting == 0 && ownShare == 0 && out != nil:
				t.Fatal("somebody was ended although there was room")
			case refused == ReasonFull && taken < l.limits.Max:
				t.Fatal("refused although there was room")
			case refused == ReasonFull && movable > 0:
				// An address with fewer clients than another always gets in. So does everybody if
				// the clients of another address only wait.
				for _, n := range l.networks {
					if n.first() != nil && evictable(l, n.prefix) > evictable(l, from)+1 {
						t.Fatalf("%v, which has %d clients, was refused although %v has %d", from, evictable(l, from), n.prefix, evictable(l, n.prefix))
					}
				}
			case refused == letIn && out != nil && out.network.prefix != from && ownShare == 0:
				// A newcomer takes the place of an address that has more clients that may go than
				// the newcomer's address, or as many as that address will have.
				count := evictable
				if taken < l.limits.Max {
					count = waits
				}
				if count(l, from) > count(l, out.network.prefix)+1 {
					t.Fatalf("%v, which had %d, pushed out a client of %v", from, own, out.network.prefix)
				}
			}
			if refused == letIn {
				clients = append(clients, p)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter":  enter,
			"enter2": enter,
			"become": func(t *rapid.T) {
				l.become(draw(), class(rapid.IntRange(0, 2).Draw(t, "class")), now)
			},
			"move":  func(t *rapid.T) { l.move(draw(), host(rapid.SampledFrom(hosts).Draw(t, "host"))) },
			"leave": func(*rapid.T) { l.leave(draw()) },
			"expire": func(t *rapid.T) {
				limit := time.Duration(rapid.IntRange(1, 9).Draw(t, "limit")) * time.Second
				for _, p := range l.expired(limit, now) {
					if p.class != waiting || now.Sub(p.since) <= limit {
						t.Fatalf("%+v has not expired", p)
					}
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				if err := l.check(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

// waits returns how many clients of a network wait.
func waits(l *ledger, prefix netip.Prefix) int {
	n := l.networks[prefix]
	if n == nil {
		return 0
	}
	return n.count[waiting]
}

// evictable returns how many clients of a network may go.
func evictable(l *ledger, prefix netip.Prefix) int {
	n := l.networks[prefix]
	if n == nil {
		return 0
	}
	return n.count[waiting] + n.count[active]
}

// A newcomer in an attack costs the same whether there are ten or ten thousand clients.
func BenchmarkNewcomers(b *testing.B) {
	for _, size := range []struct{ places, hosts int }{{64, 1}, {8192, 1}, {8192, 8192}, {65536, 1000}} {
		b.Run(fmt.Sprintf("%d places, %d addresses", size.places, size.hosts), func(b *testing.B) {
			l := newLedger(Limits{Max: size.places})
			now := time.Now()
			b.ReportAllocs()
			i := 0
			come := func() {
				i++
				a := netip.AddrFrom4([4]byte{10, byte(i % size.hosts >> 16), byte(i % size.hosts >> 8), byte(i % size.hosts)})
				if out, _ := l.enter(&Place{}, NetworkOf(a), now.Add(time.Duration(i))); out != nil {
					l.leave(out)
				}
			}
			for range size.places {
				come()
			}
			for b.Loop() {
				come()
			}
		})
	}
}
