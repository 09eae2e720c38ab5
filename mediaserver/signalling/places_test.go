package signalling

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// guest is a session of a test.
type guest struct {
	host  string
	since time.Time
}

func (g *guest) Host() string     { return g.host }
func (g *guest) Since() time.Time { return g.since }

func TestWhoLosesThePlace(t *testing.T) {
	type viewer struct {
		host      string
		age       time.Duration // when the newcomer comes
		connected bool
	}
	crowd := func(n int, v viewer) []viewer {
		viewers := make([]viewer, n)
		for i := range viewers {
			viewers[i] = v
			viewers[i].age += time.Duration(n-i) * time.Millisecond
		}
		return viewers
	}
	const young, old = 500 * time.Millisecond, 5 * time.Second
	for _, test := range []struct {
		name       string
		limit      int
		connecting int
		viewers    []viewer
		newcomer   string
		want       int // index of the viewer that loses its place; -1 none, -2 the newcomer is refused
	}{
		{"there is room", 3, 64, []viewer{{"a", young, false}, {"b", old, true}}, "c", -1},
		{"full of viewers: refused", 2, 64, []viewer{{"a", old, true}, {"b", young, true}}, "c", -2},
		{"full: one that has not connected goes, however young", 2, 64, []viewer{{"a", old, true}, {"b", young, false}}, "c", 1},
		{"full: the oldest goes", 2, 64, []viewer{{"a", young, false}, {"b", old, false}}, "c", 1},
		{"full: the oldest of the busiest address goes", 4, 64, []viewer{{"a", old, false}, {"b", young, false}, {"b", young + 1, false}, {"c", young, true}}, "c", 2},
		{"those who have connected do not make an address busy", 4, 64, []viewer{{"a", old, true}, {"a", old, true}, {"a", young, false}, {"b", old, false}}, "c", 3},
		{"one more from an address pushes out its own", 2, 64, []viewer{{"a", old, false}, {"b", young, false}}, "b", 1},
		{"too many connect: one that had its time goes", 100, 64, crowd(64, viewer{"a", old, false}), "b", 0},
		{"too many connect, but have just begun: all stay", 100, 64, crowd(64, viewer{"a", young, false}), "b", -1},
		{"a quarter of many places may be connecting", 1000, 250, crowd(249, viewer{"a", old, false}), "b", -1},
		{"and no more", 1000, 250, crowd(250, viewer{"a", old, false}), "b", 0},
		{"no limit: many may be connecting", 0, 1024, crowd(1023, viewer{"a", old, false}), "b", -1},
		{"no limit: but not for ever", 0, 1024, crowd(1024, viewer{"a", old, false}), "b", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now()
			p := NewPlaces[*guest](test.limit, test.connecting)
			sessions := map[*guest]int{nil: -1}
			for i, v := range test.viewers {
				s := &guest{host: v.host, since: now.Add(-v.age)}
				sessions[s] = i
				p.taken[s] = struct{}{}
				if !v.connected {
					p.connecting[s] = struct{}{}
				}
			}
			out, ok := p.Take(&guest{host: test.newcomer, since: now})
			got := sessions[out]
			if !ok {
				got = -2
			}
			if got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
			if test.limit > 0 && p.Count() > test.limit {
				t.Errorf("%d places of %d are taken", p.Count(), test.limit)
			}
		})
	}
}

func TestPlacesAreNotHandedOnFasterThanSessionsEnd(t *testing.T) {
	p := NewPlaces[*guest](2, 64)
	var pushedOut []*guest
	for i := range 2 + 64 {
		out, ok := p.Take(&guest{host: "a", since: time.Unix(int64(i), 0)})
		if !ok || (out != nil) != (i >= 2) {
			t.Fatalf("session %d: let in %v, pushed out %v", i, ok, out)
		}
		if out != nil {
			pushedOut = append(pushedOut, out)
		}
	}
	if _, ok := p.Take(&guest{host: "b", since: time.Unix(100, 0)}); ok {
		t.Error("let in while too many are leaving")
	}
	p.Leave(pushedOut[0])
	if _, ok := p.Take(&guest{host: "b", since: time.Unix(100, 0)}); !ok {
		t.Error("refused although one has left")
	}
}

func TestHostOf(t *testing.T) {
	got := map[string]string{}
	for _, remote := range []string{"192.0.2.1:5000", "[::ffff:192.0.2.1]:5000", "[2001:db8::1]:1", "[2001:db8::ffff:1]:2", "[fe80::1%eth0]:1", "@"} {
		got[remote] = HostOf(remote)
	}
	want := map[string]string{
		"192.0.2.1:5000": "192.0.2.1", "[::ffff:192.0.2.1]:5000": "192.0.2.1",
		"[2001:db8::1]:1": "2001:db8::/64", "[2001:db8::ffff:1]:2": "2001:db8::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "@": "@",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
