package peer

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newMixed(t *testing.T, changes *atomic.Int32, texts ...string) *Directory {
	t.Helper()
	d, err := NewDirectory(DirectoryConfig{Base: "https://peer:9092", ClearPort: 5080, OnChange: func() { changes.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	d.take(addresses(texts...))
	return d
}

func TestAServerIsReachedInClearOnlyIfTheOperatorSaysSo(t *testing.T) {
	const one, two = "https://10.0.0.1:9092", "https://10.0.0.2:9092"
	clear1, clear2 := Route{Base: "http://10.0.0.1:5080", Clear: true}, Route{Base: "http://10.0.0.2:5080", Clear: true}
	tls1, tls2 := Route{Base: one}, Route{Base: two}
	type step struct {
		what string
		do   func(*Directory)
		want []Route
	}
	nothing := func(*Directory) {}
	tell := func(w ClearPolicy) func(*Directory) { return func(d *Directory) { d.SetClearPolicy(w) } }
	fails := func(base string) func(*Directory) { return func(d *Directory) { d.Failed(base, d.Route(base)) } }
	joins := func(base string) func(*Directory) { return func(d *Directory) { d.Joined(base, d.Route(base)) } }
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"untold", []step{
			{"at first", nothing, []Route{tls1, tls2}},
			{"nobody answers", fails(one), []Route{tls1, tls2}},
		}},
		{"one of them is of the version before", []step{
			{"told", tell(ClearPolicy{Clear: addresses("::ffff:10.0.0.2")}), []Route{tls1, clear2}},
			{"the other one does not answer", fails(one), []Route{tls1, clear2}},
			{"nobody answers in clear: it may have been replaced", fails(two), []Route{tls1, tls2}},
			{"nor over TLS", fails(two), []Route{tls1, clear2}},
			{"it answers", joins(two), []Route{tls1, clear2}},
			{"one of its links fails", fails(two), []Route{tls1, clear2}},
			{"told otherwise", tell(ClearPolicy{}), []Route{tls1, tls2}},
			{"nobody answers", fails(two), []Route{tls1, tls2}},
		}},
		{"the operator is of the version before", []step{
			{"told nothing", tell(ClearPolicy{Any: true}), []Route{tls1, tls2}},
			{"one does not answer over TLS", fails(one), []Route{clear1, tls2}},
			{"the other one does", joins(two), []Route{clear1, tls2}},
			{"and one of its links fails", fails(two), []Route{clear1, tls2}},
			{"the next operator knows", tell(ClearPolicy{Clear: addresses("10.0.0.1")}), []Route{clear1, tls2}},
			{"all is new", tell(ClearPolicy{}), []Route{tls1, tls2}},
		}},
		{"one that answers over TLS is not made to speak in clear", []step{
			{"it answers", joins(one), []Route{tls1, tls2}},
			{"the word", tell(ClearPolicy{Clear: addresses("10.0.0.1", "10.0.0.2")}), []Route{tls1, clear2}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var changes atomic.Int32
			d := newMixed(t, &changes, "10.0.0.1", "10.0.0.2")
			for _, s := range tt.steps {
				s.do(d)
				got := d.Routes()
				for i := range got {
					got[i].over = nil
				}
				if diff := cmp.Diff(s.want, got, cmp.AllowUnexported(Route{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", s.what, diff)
				}
			}
		})
	}
}

func TestWhatIsInClearEndsWithTheWordThatAllowedIt(t *testing.T) {
	var changes atomic.Int32
	d := newMixed(t, &changes, "10.0.0.1", "10.0.0.2")
	if allowed, _ := d.IsClearAllowed(); allowed {
		t.Error("untold, peers are served in clear")
	}
	d.SetClearPolicy(ClearPolicy{Clear: addresses("10.0.0.1", "10.0.0.2")})
	allowed, over := d.IsClearAllowed()
	if !allowed {
		t.Error("told, peers are not served in clear")
	}
	bind := func(base string) context.Context {
		ctx, stop := d.Route(base).Bind(t.Context())
		t.Cleanup(func() { stop(nil) })
		return ctx
	}
	first, second := bind("https://10.0.0.1:9092"), bind("https://10.0.0.2:9092")
	d.SetClearPolicy(ClearPolicy{Clear: addresses("10.0.0.2")})
	<-first.Done()
	if !errors.Is(context.Cause(first), ErrRouteOver) {
		t.Errorf("it ended: %v", context.Cause(first))
	}
	select {
	case <-over:
		t.Error("serving in clear ended while one peer needs it")
	case <-second.Done():
		t.Error("the route to the peer that needs it ended")
	default:
	}
	d.SetClearPolicy(ClearPolicy{})
	<-second.Done()
	<-over
	if allowed, _ := d.IsClearAllowed(); allowed {
		t.Error("peers are served in clear still")
	}
}

func TestAServerByHandIsAskedAsItsURLSays(t *testing.T) {
	for base, want := range map[string]bool{"http://10.0.0.1:5080": true, "https://10.0.0.1:9092": false} {
		d, err := NewDirectory(DirectoryConfig{Base: base})
		if err != nil {
			t.Fatal(err)
		}
		d.SetClearPolicy(ClearPolicy{Any: true})
		d.Failed(base, d.Route(base))
		if got := d.Routes(); len(got) != 1 || got[0].Base != base || got[0].Clear != want {
			t.Errorf("%s: %+v", base, got)
		}
	}
}

func TestLinksSayHowAServerAnswers(t *testing.T) {
	var changes atomic.Int32
	d := newMixed(t, &changes, "10.0.0.1", "10.0.0.2")
	d.SetClearPolicy(ClearPolicy{Clear: addresses("10.0.0.2")})
	changes.Store(0)
	var left []func()
	for _, base := range append(d.Bases(), d.Bases()...) {
		left = append(left, d.Joined(base, d.Route(base)))
	}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	if diff := cmp.Diff([]Link{{Address: a, TLS: true}, {Address: b, Clear: true}}, d.Links(), cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Errorf("joined (-want +got):\n%s", diff)
	}
	for _, leave := range left {
		leave()
	}
	if diff := cmp.Diff([]Link{{Address: a}, {Address: b}}, d.Links(), cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if n := changes.Load(); n != 4 {
		t.Errorf("%d changes were told, want one each time a server came or went", n)
	}
	d.Joined("https://10.0.0.9:9092", Route{})() // one that is known no longer
}

func TestManyNamesTakeNoPlaceOfAServerThatHasProvedItself(t *testing.T) {
	var changes atomic.Int32
	var strangers []string
	for i := range 100 {
		strangers = append(strangers, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
	}
	d := newMixed(t, &changes, strangers...)
	if n := len(d.Bases()); n != maxAddresses {
		t.Errorf("%d addresses of an answer are used, want %d", n, maxAddresses)
	}
	d.Meet(netip.MustParseAddr("10.0.0.1"))
	d.take(addresses(strangers...))
	if !d.Includes(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the server that has proved itself has no place")
	}
}
